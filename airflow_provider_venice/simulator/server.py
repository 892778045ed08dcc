"""Runs the simulator: in the foreground for the command line, in a thread for Python."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from aiohttp import web

from airflow_provider_venice.simulator import media
from airflow_provider_venice.simulator.app import API, make_app
from airflow_provider_venice.simulator.faults import Fault
from airflow_provider_venice.simulator.jobs import Job
from airflow_provider_venice.simulator.journal import Journal
from airflow_provider_venice.simulator.settings import Edition, Resets, Settings, UsageIds, WindowKind
from airflow_provider_venice.simulator.tls import Authority
from airflow_provider_venice.simulator.vendor import Vendor

_T = TypeVar("_T")

#: Seconds that the server may take to start or to stop.
_PATIENCE = 30.0


async def serve(
    vendor: Vendor,
    host: str,
    port: int,
    *,
    ready: Callable[[int], None],
    stop: asyncio.Event,
    authority: Authority | None = None,
) -> None:
    """
    Serve until ``stop`` is set.

    :param port: 0 for one that is free.
    :param authority: serve https with its certificate; ``None`` serves http.
    :param ready: called with the port once the server listens.
    :raises ModuleNotFoundError: when Pillow, PyAV or jsonschema is missing.
    """
    media.require()
    runner = web.AppRunner(make_app(vendor), access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=authority.context if authority else None).start()
        ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        connections = runner.server.connections if runner.server else []
        transports = [connection.transport for connection in connections if connection.transport]
        await runner.cleanup()
        for transport in transports:
            # TLS closes with an exchange of its own, for which nobody stays.
            transport.abort()
        await asyncio.sleep(0)


def base_url(host: str, port: int, *, https: bool = False) -> str:
    """Return the URL that a client takes for the API's."""
    return f"{'https' if https else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{API}"


class VeniceSimulator:
    """
    The Venice API on loopback, in a thread of its own.

    .. code-block:: python

        with VeniceSimulator(speed=60) as venice:
            requests.post(f"{venice.base_url}/video/quote", json={...})

    See :class:`~airflow_provider_venice.simulator.settings.Settings` for the parameters that are not named here.

    :param host: address to listen on.
    :param port: 0 for one that is free.
    :param https: serve https with a certificate made at start; :attr:`certificate` is what clients have to trust.
    :param journal_path: file that gets each journal entry as a line of JSON.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        https: bool = False,
        speed: float = 1.0,
        seed: int = 0,
        limits: bool = True,
        api_key: str = "simulator-key",
        admin_key: str = "simulator-admin-key",
        key_limit: Decimal | float | None = None,
        balance: Decimal | float = 100,
        media: Literal["each", "shared"] = "each",
        padding: int = Settings.padding,
        median: float = 120.0,
        fps: int = 24,
        window: WindowKind = "fixed",
        resets: Resets = Settings.resets,
        job_seconds: float | None = None,
        usage_delay: float = 0.0,
        usage_ids: UsageIds = "queue_id",
        usage_sku: str = Settings.usage_sku,
        edition: Edition = Settings.edition,
        journal_path: Path | str | None = None,
    ) -> None:
        settings = Settings(
            speed=speed,
            seed=seed,
            limits=limits,
            api_key=api_key,
            admin_key=admin_key,
            key_limit=None if key_limit is None else Decimal(str(key_limit)),
            balance=Decimal(str(balance)),
            media=media,
            padding=padding,
            median=median,
            fps=fps,
            window=window,
            resets=resets,
            job_seconds=job_seconds,
            usage_delay=usage_delay,
            usage_ids=usage_ids,
            usage_sku=usage_sku,
            edition=edition,
        )
        self._vendor = Vendor(settings, None if journal_path is None else Path(journal_path))
        self._host, self._port = host, port
        self._authority = Authority(host) if https else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._listening = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> VeniceSimulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, and return once requests are answered."""
        self._thread = threading.Thread(target=self._run, name="venice-simulator", daemon=True)
        self._thread.start()
        if not self._listening.wait(_PATIENCE):
            raise TimeoutError(f"the simulator did not start within {_PATIENCE:.0f} s")
        if self._failure is not None:
            self._thread.join(_PATIENCE)
            raise self._failure

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    @property
    def base_url(self) -> str:
        """The API's URL, such as ``http://127.0.0.1:43211/api/v1``."""
        return base_url(self._host, self._port, https=self._authority is not None)

    @property
    def certificate(self) -> bytes:
        """
        The certificate, as PEM, that a client of the https server has to trust.

        :raises ValueError: when the server speaks http.
        """
        if self._authority is None:
            raise ValueError("the simulator speaks http; start it with https=True")
        return self._authority.certificate

    @property
    def control_url(self) -> str:
        """The URL of the control endpoints, such as ``http://127.0.0.1:43211/simulator``."""
        return self.base_url.removesuffix(API) + "/simulator"

    @property
    def api_key(self) -> str:
        """The key that is accepted."""
        return self._vendor.settings.api_key

    @property
    def admin_key(self) -> str:
        """The account's ADMIN key."""
        return self._vendor.settings.admin_key

    @property
    def journal(self) -> Journal:
        """What happened."""
        return self._vendor.journal

    @property
    def jobs(self) -> list[Job]:
        """All jobs, in the order of their submission."""
        return list(self._vendor.jobs.values())

    @property
    def balance(self) -> Decimal:
        """What is left on the account, in US dollars."""
        return self._vendor.balance

    @property
    def job_seconds(self) -> float | None:
        """Fixed time of the jobs to come, in vendor seconds; ``None`` draws them from the distribution."""
        return self._vendor.settings.job_seconds

    @job_seconds.setter
    def job_seconds(self, seconds: float | None) -> None:
        self._vendor.settings.job_seconds = seconds

    @property
    def usage_delay(self) -> float:
        """Seconds after which a charge appears in the ledger, in vendor seconds."""
        return self._vendor.settings.usage_delay

    @usage_delay.setter
    def usage_delay(self, seconds: float) -> None:
        self._vendor.settings.usage_delay = seconds

    def charge(self, sku: str, amount: Decimal | float) -> None:
        """
        Charge the account for what another program has bought; the journal has no request for it.

        :param sku: the product.
        :param amount: US dollars.
        """
        self._call(lambda: self._vendor.charge(sku, Decimal(str(amount))))

    def fail(
        self,
        endpoint: str,
        *,
        times: int | None = 1,
        match: str | None = None,
        status: int | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **effects: Any,
    ) -> Fault:
        """
        Let something go wrong; :class:`~airflow_provider_venice.simulator.faults.Fault` has all effects.

        :param endpoint: ``quote``, ``queue``, ``retrieve``, ``complete``, ``download``, …
        :param times: how often; ``None`` for ever.
        :param match: only where this text is in the request, or in its job's id, model or prompt.
        :param effects: ``drop_before``, ``drop_after``, ``hang``, ``truncate``, ``policy``, …
        """
        fault = Fault(endpoint, times=times, match=match, status=status, body=body, headers=headers, **effects)
        self._call(lambda: self._vendor.faults.add(fault))
        return fault

    def finish(self, queue_id: str | None = None) -> int:
        """
        Let one job, or all, be done now; return how many were still running.

        :param queue_id: the job's id; ``None`` for all.
        """
        return self._call(lambda: self._vendor.finish(queue_id))

    def reset(self) -> None:
        """Forget jobs, faults, journal and limits, and refill the balance."""
        self._call(self._vendor.reset)

    def _call(self, work: Callable[[], _T]) -> _T:
        """Do ``work`` where the vendor's state lives: in the server's loop while it runs."""
        if self._loop is None or self._loop.is_closed():
            return work()

        async def there() -> _T:
            return work()

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(_PATIENCE)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._listening.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def ready(port: int) -> None:
            self._port = port
            self._listening.set()

        await serve(self._vendor, self._host, self._port, ready=ready, stop=self._stop, authority=self._authority)
