"""The llama door: the API of the LlamaIndex workflow server (`/workflows`, `/handlers`, `/events`, `/results`).

One implementation of two dialects: the one of its document at the root, the newest under `/llama`.
"""

from stepwell.doors.llama.api import apis

__all__ = ["apis"]
