"""What is measured, one file each: `async def measure(folder, size) -> {name: number}`, run in its own process."""
