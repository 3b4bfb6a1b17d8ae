import asyncio, time, tempfile
from pathlib import Path
import sys; sys.path.insert(0,'/work/main')
from tests.doors.agents.door import *
async def main():
    t=time.perf_counter()
    def lap(s):
        nonlocal t; n=time.perf_counter(); print(f"{s:30} {(n-t)*1e3:8.1f} ms"); t=n
    app=new_app(Path(tempfile.mkdtemp()))
    async with open_door(app) as door:
        lap("open")
        for _ in range(2):
            tid=await door.template(NOW, ask(), additional_variables=True); lap("template+publish")
            r=await door.post(RUNS, {"template_id":tid}, status=201); lap("start")
            await door.asked(r["id"]); lap("asked")
            await door.run(r["id"]); lap("get")
            await door.tell(r["id"],"cancel"); lap("cancel")
    lap("close")
asyncio.run(main())
