"""MongoDB through pymongo's asynchronous API. Written from its documentation; not tried against a server."""

from collections.abc import Mapping
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from stepwell.sources.port import SourceError, SourceOptions, Wanted

CONNECT_MS: Final = 5_000
READ_MS: Final = 10_000


class MongoReader:
    """`Reader` of one deployment."""

    def __init__(self, options: SourceOptions) -> None:
        credentials: dict[str, Any] = {}
        if options.username:
            credentials = {"username": options.username, "password": options.password}
        try:
            self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                options.connection_string,
                serverSelectionTimeoutMS=CONNECT_MS,
                connectTimeoutMS=CONNECT_MS,
                socketTimeoutMS=READ_MS,
                **credentials,
            )
        except PyMongoError as fault:
            raise SourceError(f"MongoDB connection string cannot be used: {fault}") from None
        self._database = options.database

    async def first(self, wanted: Wanted) -> Mapping[str, Any] | None:
        """One document, with the wanted fields only; `_id` when it, or a part of it, is wanted."""
        collection = self._client[wanted.database or self._database][wanted.collection]
        projection: dict[str, Any] = dict.fromkeys(wanted.fields, 1)
        if not any(field == "_id" or field.startswith("_id.") for field in wanted.fields):
            projection["_id"] = 0
        try:
            return await collection.find_one(wanted.find, projection)
        except PyMongoError as fault:
            raise SourceError(f"MongoDB did not answer: {fault}") from None

    async def aclose(self) -> None:
        await self._client.close()
