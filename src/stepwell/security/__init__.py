"""Security: who asks, what they may send, and which addresses are called for them.

Nothing here knows a door or the engine. A door hands in how it words a refusal; the composition root hands in where
API keys are kept and in which order the middleware stands. Every rule that can refuse has a `Reason`.
"""
