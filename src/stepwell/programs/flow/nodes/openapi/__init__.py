"""`call: openapi`: the document is read for one operation, and what is known of that becomes an HTTP request."""

from stepwell.programs.flow.nodes.openapi.call import OpenApiCall, OpenApiNode
from stepwell.programs.flow.nodes.openapi.documents import Documents

__all__ = ["Documents", "OpenApiCall", "OpenApiNode"]
