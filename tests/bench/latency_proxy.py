"""A server that is further away: every request waits, the answers stream through.

    latency_proxy.py PORT MILLISECONDS SERVER_PORT      on loopback, until it is ended

A request is what the client sends at once: enough for GETs, which have no body.
"""

import asyncio
import sys


async def main(port, milliseconds, server_port):
    async def forward(reader, writer, seconds):
        while data := await reader.read(1 << 18):
            if seconds:
                await asyncio.sleep(seconds)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def accept(reader, writer):
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server_port, limit=1 << 18)
        await asyncio.gather(forward(reader, up_writer, milliseconds / 1000),
                             forward(up_reader, writer, 0), return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", port, limit=1 << 18)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
