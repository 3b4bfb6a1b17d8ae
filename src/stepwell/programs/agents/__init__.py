"""Language models behind an endpoint that speaks OpenAI's chat protocol: one turn of a conversation at a time."""

from stepwell.programs.agents.client import MISSING, AgentSettings, OpenAiAgents, has_library

__all__ = ["MISSING", "AgentSettings", "OpenAiAgents", "has_library"]
