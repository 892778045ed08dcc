"""Sends calls: sync with requests for workers, async with aiohttp for triggers."""
