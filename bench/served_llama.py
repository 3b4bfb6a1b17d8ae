"""What the benchmark of hosted workflows serves: `stepwell serve --app bench.served_llama:app`."""

from bench.rivals.llama_workflow import Trivial
from stepwell import App

app = App()
app.add_workflow("trivial", Trivial(timeout=120))
