"""The verb ``ui``: runs and versions in the browser, on this machine alone."""

import pathlib
import socket
import sys
import webbrowser

import click
from rich.console import Console

from pipeline.interrupt import interruptible
from pipeline.settings import SettingsError, load_settings
from pipeline.ui.guard import Seal, is_loopback

_PATIENCE_SECONDS = 3


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="This machine's own, only.")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@click.argument("rollout_options", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(
    settings_path: str, port: int, host: str, open_it: bool, rollout_options: tuple[str, ...]
) -> None:
    """Show all runs and versions in the browser; compare runs, promote and roll back versions.

    The address that it prints holds a key, so that no other user of this machine can open it.
    ROLLOUT_OPTIONS, after --, are those of the verb rollout, which may be started from the page:
    `ui -- --prometheus http://prometheus:9090`. Ctrl-C ends it.
    """
    console = Console()
    try:
        settings = load_settings(pathlib.Path(settings_path))
        listener = _listen(host, port)
    except (SettingsError, ValueError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    import uvicorn

    from pipeline.ui.app import make
    from pipeline.ui.rollout import Rollout

    seal, rollout = Seal(), Rollout(settings_path, rollout_options)
    address = f"http://{host}:{listener.getsockname()[1]}/?key={seal.key}"
    server = uvicorn.Server(
        uvicorn.Config(
            make(settings, settings_path, seal, rollout),
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_PATIENCE_SECONDS,
        )
    )
    with listener, interruptible():
        try:
            console.print(f"{address}  (Ctrl-C ends it)", highlight=False, soft_wrap=True)
            if open_it:
                webbrowser.open(address)
            server.run([listener])
        except KeyboardInterrupt:
            pass
        finally:
            rollout.stop()


def _listen(host: str, port: int) -> socket.socket:
    """Takes the port, so that one in use is told at once.

    Raises:
      ValueError: if it can't be listened on, or others could reach it.
    """
    if not is_loopback(host):
        raise ValueError(
            f"--host {host}: this page moves versions, and so is for this machine alone. From "
            f"another one reach it by a tunnel: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE"
        )
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ValueError(
            f"port {port} of {host} can't be listened on: {error.strerror}. Take another by --port"
        ) from None
