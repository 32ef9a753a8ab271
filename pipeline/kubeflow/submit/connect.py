"""From settings to a client of a server that is there and has let it in."""

import contextlib
import dataclasses
import io
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from pipeline.kubeflow.submit import preflight
from pipeline.kubeflow.submit.deadline import within
from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.kubeflow.submit.login import Login, log_in

if TYPE_CHECKING:
    from pipeline.settings.kubeflow import Kubeflow

PATIENCE = 9.0
"""Seconds until a server that neither answers nor refuses is given up."""
TIMEOUT = (5, 60)
"""Seconds for connecting, and for each answer, once the server is known to be there."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """A server that answers and takes the login.

    Attributes:
      host: its URL, without a slash at its end.
      server: what it says of itself.
      login: what goes with each request.
    """

    host: str
    server: preflight.Server
    login: Login


class _Session(requests.Session):
    """Requests without a login, all with one rule for certificates."""

    def __init__(self, verify: str | bool | None) -> None:
        super().__init__()
        self.auth = Login("nobody yet")
        self._verify = verify

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """As of a session, whose own ``verify`` gives way to the environment's."""
        return super().request(*args, **options | {"verify": self._verify})


def _authorities(kubeflow: "Kubeflow") -> str | None:
    """A file of certificates; kfp would not look at requests' variable by itself."""
    return kubeflow.tls.ca_cert or os.environ.get("REQUESTS_CA_BUNDLE")


def connect(kubeflow: "Kubeflow", patience: float = PATIENCE) -> Connection:
    """Logs in and looks whether the server lets it.

    Args:
      kubeflow: the settings.
      patience: seconds until it is given up.

    Raises:
      SubmitError: if the host is no such server, does not answer, or refuses the login.
    """
    if kubeflow.host is None:
        raise SubmitError(
            "kubeflow.host is not set: the URL of Kubeflow Pipelines, such as "
            "'https://kubeflow.example/pipeline'"
        )
    # A URL from the browser's address bar ends with the page that it shows.
    host = kubeflow.host.partition("#")[0].rstrip("/")
    if "://" not in host:
        host = f"https://{host}"
    session = _Session(_authorities(kubeflow) if kubeflow.tls.verify else False)
    again = urllib3.Retry(
        total=2,
        connect=0,
        other=0,
        status_forcelist=(500, 502, 503, 504),
        backoff_factor=0.3,
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=again))

    def ask() -> Connection:
        login = log_in(kubeflow.auth, host, session)
        server = preflight.look(session, host, login, kubeflow.namespace)
        return Connection(host, server, login)

    try:
        return within(patience, ask)
    except TimeoutError as error:
        raise SubmitError(
            f"{host} (kubeflow.host): {error}: is it the right address, and is a VPN or a tunnel "
            "needed?"
        ) from None
    except requests.RequestException as error:
        raise SubmitError(preflight.told(error, host)) from None
    except OSError as error:
        # requests raises this for a file of certificates that is not there.
        raise SubmitError(f"kubeflow.tls.ca_cert: {error}") from None


def kfp_client(kubeflow: "Kubeflow", connection: Connection) -> Any:
    """Kubeflow Pipelines' own client, whose requests end in time.

    Args:
      kubeflow: the settings.
      connection: what ``connect`` found.

    Returns:
      A ``kfp.Client``.
    """
    # Imported here: it takes seconds, and what is wrong is told before.
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore", FutureWarning)
        import kfp.client

        login = connection.login
        credentials = None
        if login.token_file:
            credentials = kfp.client.ServiceAccountTokenVolumeCredentials(login.token_file)
        proxies = requests.utils.get_environ_proxies(connection.host)
        client = kfp.client.Client(
            host=connection.host,
            # Given as empty, cookies do not come from ~/.config/kfp/context.json.
            cookies=login.cookies or "",
            existing_token=login.token,
            credentials=credentials,
            # Any but kfp's default also outdoes that file.
            namespace=kubeflow.namespace or "default",
            ssl_ca_cert=_authorities(kubeflow),
            verify_ssl=kubeflow.tls.verify,
            proxy=requests.utils.select_proxy(connection.host, proxies),
        )
    # kfp passes no timeout on: a connection that dies silently would hold submit for ever.
    rest = client._run_api.api_client.rest_client
    request = rest.request

    def bounded(*args: Any, **options: Any) -> Any:
        return request(*args, **options | {"_request_timeout": TIMEOUT})

    rest.request = bounded
    return client


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what kfp prints off the screen: links, which submit prints itself."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
