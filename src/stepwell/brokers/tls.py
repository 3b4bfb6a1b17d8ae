"""TLS towards brokers: their certificate is always verified; ours is shown where one is configured."""

import ssl

from stepwell.brokers.port import BrokerError


def tls_context(ca_file: str | None, certificate_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """Raises `BrokerError` for files that cannot be read."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate_file:
            context.load_cert_chain(certificate_file, key_file)
    except (OSError, ssl.SSLError) as fault:
        raise BrokerError(f"the TLS files of a broker cannot be used: {fault}", retryable=False) from None
    return context
