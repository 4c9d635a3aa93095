"""Servers of the tests on the loopback, on a thread each."""

import threading


def serve(stack, server, context=None):
    """Until the ExitStack is closed; over TLS with a context. Its port."""
    server.handle_error = lambda *_: None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    stack.callback(server.server_close)
    stack.callback(thread.join)
    stack.callback(server.shutdown)
    return server.server_address[1]
