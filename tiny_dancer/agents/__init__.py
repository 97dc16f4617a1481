"""Agents: what they are, how they are kept for a decision, what they can do."""

from tiny_dancer.agents.agent import Agent, AgentType, CostModel
from tiny_dancer.agents.registry import AgentRegistry

__all__ = ["Agent", "AgentRegistry", "AgentType", "CostModel"]
