"""What ``posemon doctor`` looks at. Nothing is changed, and nothing takes longer than a few seconds.

One trace is sent: what it says of the way of telemetry is what no look at the settings can say.
"""

import os
import socket
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from posemon_otel import redaction, settings
from posemon_otel.cli.doctor import BAD, GOOD, OFF, Finding
from posemon_otel.cli.groups import hushed
from posemon_otel.settings import Setting, Settings

_CONNECT_SECONDS = 1.0
_TRACE_SECONDS = 5.0
_CLOCKS_APART = 2.0
_FILE = "otlp_json_file"
_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
_PORTS = {"http/protobuf": 4318, "grpc": 4317}
_SIGNALS: tuple[tuple[str, Setting[str], Setting[str], Setting[str]], ...] = (
    ("traces", settings.TRACES_EXPORTER, settings.OTLP_TRACES_ENDPOINT, settings.OTLP_TRACES_PROTOCOL),
    ("metrics", settings.METRICS_EXPORTER, settings.OTLP_METRICS_ENDPOINT, settings.OTLP_METRICS_PROTOCOL),
    ("logs", settings.LOGS_EXPORTER, settings.OTLP_LOGS_ENDPOINT, settings.OTLP_LOGS_PROTOCOL),
)
_SENT = frozenset(("traces", "logs"))
_KNOWN_EXPORTERS = frozenset(("otlp", "otlp_proto_http", "otlp_proto_grpc"))


def everything(chosen: Settings) -> Iterator[Finding]:
    """Looks at everything, in the order in which a person would."""
    yield from libraries(chosen)
    found = list(exporters(chosen))
    yield from found
    yield from trace(chosen, [finding.about for finding in found if finding.state == GOOD])
    yield from journal(chosen)
    yield from clock(chosen)
    yield from database(chosen)
    yield from queue(chosen)
    yield from admin(chosen)


def libraries(chosen: Settings) -> Iterator[Finding]:
    """Client libraries: which of them ``configure`` will watch."""
    from posemon_otel import instrumentation

    disabled: tuple[str, ...] = chosen[settings.DISABLED_INSTRUMENTATIONS]
    instrumentation.instrument_installed(disabled)  # imports none of them
    found = instrumentation.status()
    instrumentation.uninstrument()
    for status in found:
        if status.version is None:
            yield Finding(status.name, OFF, "not installed")
        elif not status.instrumented:
            yield Finding(status.name, OFF, f"{status.version} will not be watched: {status.reason}")
        else:
            yield Finding(status.name, GOOD, f"{status.version} will be watched (tested with {status.tested})")


def exporters(chosen: Settings) -> Iterator[Finding]:
    """Where telemetry goes, and whether something listens there."""
    if chosen[settings.DISABLED]:
        yield Finding("export", OFF, f"{settings.DISABLED.variables[0]} switches all telemetry off")
        return
    for signal, exporter, own, own_protocol in _SIGNALS:
        for name in chosen[exporter].split(","):
            yield _exporter(signal, name.strip(), chosen, own, own_protocol)


def _exporter(signal: str, name: str, chosen: Settings, own: Setting[str], own_protocol: Setting[str]) -> Finding:
    if name in ("", "none"):
        return Finding(signal, OFF, "not exported")
    if name not in _KNOWN_EXPORTERS:
        folder = chosen[settings.OTLP_FILE_DIR]
        where = f" into {folder}" if name == _FILE and folder else ""
        return Finding(signal, GOOD, f"exported by {name}{where}")
    protocol = chosen[own_protocol] or chosen[settings.OTLP_PROTOCOL]
    configured = chosen[own] or chosen[settings.OTLP_ENDPOINT]
    address = redaction.clean_url(configured) if configured else f"http://localhost:{_PORTS[protocol]}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        what = f"{protocol} to {address.partition('://')[2]}: {_why(error)}; it stays in the journal"
        variable = settings.OTLP_ENDPOINT.variables[0]
        if configured:
            return Finding(signal, BAD, what, f"start a collector there or correct {variable}")
        return Finding(signal, OFF, f"{what} until {variable} is set or a collector is started there")
    return Finding(signal, GOOD, f"{protocol} to {host}:{port}, which takes connections")


def trace(chosen: Settings, reachable: Collection[str]) -> Iterator[Finding]:
    """One trace through the real exporters, and what became of it.

    Args:
        chosen: The settings.
        reachable: Signals whose exporters seem to be all right.
    """
    sent = {}
    for signal, exporter, _, _ in _SIGNALS:
        names = [name.strip() for name in chosen[exporter].split(",")]
        real = [
            name for name in names if name in _KNOWN_EXPORTERS or (name == _FILE and chosen[settings.OTLP_FILE_DIR])
        ]
        if signal in _SENT and signal in reachable and real:
            sent[signal] = {exporter.name: ",".join(real)}
    if not sent:
        yield Finding("trace", OFF, "none was sent: there is nowhere to send one to")
        return
    from posemon_otel.delivery.probe import probe

    arguments = {"traces_exporter": "none", "metrics_exporter": "none", "logs_exporter": "none"}
    for named in sent.values():
        arguments |= named
    with hushed():
        answers = probe(arguments, list(sent), _TRACE_SECONDS)
    for one in answers:
        about = "trace" if one.signal == "traces" else "log record"
        by = f" by {one.endpoint}" if one.endpoint else ""
        if one.signal == "traces" and not one.sampled:
            yield Finding(about, OFF, "not sent: the sampler (OTEL_TRACES_SAMPLER) left it out")
        elif one.taken:
            yield Finding(about, GOOD, f"{one.trace_id} was taken{by} in {one.seconds:.2f} s ({one.status})")
        else:
            what = f"{one.trace_id} was not taken{by} within {one.seconds:.1f} s ({one.status or 'no answer'})"
            yield Finding(about, BAD, what, _mend_answer(one.status))


def _mend_answer(status: str) -> str:
    """What to do about the answer to a trace."""
    words = status.upper()
    if any(code in words for code in ("401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED")):
        return f"put what it asks for into {_HEADERS}"
    if any(code in words for code in ("404", "405", "UNIMPLEMENTED")):
        variable, protocol = settings.OTLP_ENDPOINT.variables[0], settings.OTLP_PROTOCOL.variables[0]
        return f"correct the path in {variable}, or {protocol}"
    return "look into the log of what listens there"


def clock(chosen: Settings) -> Iterator[Finding]:
    """Whether the clock of the journal's file system and this machine's agree: ages and times are told by both."""
    from posemon_otel.state import journals_folder

    try:
        folder = journals_folder(chosen)
    except RuntimeError:
        return  # said already
    existing = next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x")
            file.flush()
            ahead = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError:
        return  # it cannot be written, which is said already
    if abs(ahead) > _CLOCKS_APART:
        way = "ahead of" if ahead > 0 else "behind"
        what = f"that of {existing} is {abs(ahead):.0f} s {way} this machine's"
        yield Finding("clock", BAD, what, "have both set by NTP, or put the journal on a local disk")
    else:
        yield Finding("clock", GOOD, "the file system's and this machine's agree")


def journal(chosen: Settings) -> Iterator[Finding]:
    """The journal's folder, and what waits in it."""
    from posemon_otel.delivery.backlog import backlogs
    from posemon_otel.delivery.ship import shipped
    from posemon_otel.state import journals_folder

    variable = settings.JOURNAL_DIR.variables[0]
    if chosen[settings.JOURNAL] == "off":
        yield Finding(
            "journal", OFF, f"{settings.JOURNAL.variables[0]}=off: what is not delivered dies with the process"
        )
        return
    try:
        folder = journals_folder(chosen)
    except RuntimeError as error:
        yield Finding("journal", BAD, str(error), f"set {variable}")
        return
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Finding("journal", BAD, f"{folder} cannot be written", f"set {variable} to a folder that can")
        return
    found = backlogs(folder)
    waiting = sum(one.bytes for backlog in found for one in backlog.waiting)
    yield Finding("journal", GOOD, f"{folder}: {len(found)} journals, {waiting} bytes wait to be delivered")
    served = ", ".join(shipped(folder))
    yield Finding(
        "ship",
        GOOD if served else OFF,
        f"`posemon ship` delivers for {served}" if served else "workers do it themselves",
    )
    lost = sum(one.dropped for backlog in found for one in backlog.waiting)
    if lost:
        mend = f"raise {settings.JOURNAL_CAP.variables[0]}, and see why nobody takes what waits"
        yield Finding("journal", BAD, f"{lost} entries were lost for want of room", mend)


def database(chosen: Settings) -> Iterator[Finding]:
    """Our own database and the application's."""
    own, application = chosen[settings.DATABASE_URL], chosen[settings.APPLICATION_DATABASE_URL]
    if not own and not application:
        variable = settings.DATABASE_URL.variables[0]
        yield Finding("database", OFF, f"no rows are written; {variable} names a database for them")
        return
    try:
        from posemon_otel.records import DatabaseError, check, connect, ping
    except ImportError as error:
        yield Finding("database", BAD, "it cannot be used", str(error))
        return
    if own:
        try:
            state = check(connect(own, read_only=True))
        except DatabaseError as error:
            yield _bad("database", str(error))
        else:
            yield (
                Finding("database", GOOD, f"ours is at revision {state.head}")
                if state.current
                else _bad("database", f"{settings.DATABASE_URL.variables[0]}: {state.problem}")
            )
    if application:
        variable = settings.APPLICATION_DATABASE_URL.variables[0]
        try:
            ping(connect(application, setting=variable, read_only=True))
        except DatabaseError as error:
            yield _bad("application", str(error))
        else:
            yield Finding("application", GOOD, "its database answers; it is only read")


def queue(chosen: Settings) -> Iterator[Finding]:
    """BullMQ's Redis, and what waits in the queue."""
    url, variable = chosen[settings.REDIS_URL], settings.REDIS_URL.variables[0]
    if not url:
        yield Finding("queue", OFF, f"not looked at; {variable} names BullMQ's Redis")
        return
    try:
        from posemon_otel.admin.queue import QueueReader
    except ImportError as error:
        yield Finding("queue", BAD, "it cannot be looked at", str(error))
        return
    import asyncio

    name = chosen[settings.QUEUE]
    counted, why = asyncio.run(QueueReader(url, name).read())
    if counted is None:
        yield Finding("queue", BAD, str(why), f"start Redis or correct {variable}")
    else:
        told = f"{name}: {counted.waiting} waiting, {counted.active} active, {counted.failed} failed"
        yield Finding("queue", GOOD, told)


def admin(chosen: Settings) -> Iterator[Finding]:
    """The keys of the admin app's tokens."""
    secret, keys = chosen[settings.JWT_SECRET], chosen[settings.JWKS_URL]
    if not secret and not keys:
        yield Finding("admin", OFF, f"{settings.JWT_SECRET.variables[0]} is not set; `posemon serve` needs it")
        return
    try:
        from posemon_otel.admin.tokens import SecretError, check_audience, check_secret
    except ImportError as error:
        yield Finding("admin", BAD, "it cannot be used", str(error))
        return
    try:
        if secret:
            check_secret(secret)
        if keys:
            check_audience(chosen[settings.JWKS_AUDIENCE])
    except SecretError as error:
        yield _bad("admin", str(error))
        return
    if secret:
        yield Finding("admin", GOOD, f"{settings.JWT_SECRET.variables[0]} is long enough")
    if keys:
        yield Finding("admin", GOOD, f"tokens of an identity provider, for {chosen[settings.JWKS_AUDIENCE]}")


def _bad(about: str, message: str) -> Finding:
    """A finding from an error of ours: its message ends with what mends it."""
    what, _, mend = message.rpartition("; ")
    return Finding(about, BAD, what, mend) if what else Finding(about, BAD, message, "")


def _why(error: Exception) -> str:
    return "nothing listens there" if isinstance(error, ConnectionRefusedError) else str(error).strip() or "no answer"
