"""The typed model of a definition: all of the Serverless Workflow DSL 1.0.x, supported or not.

The parts are the schema too: `binding` reads a document into them and notes every fault on the way.
"""

from stepwell.programs.flow.model.workflow import Workflow

__all__ = ["Workflow"]
