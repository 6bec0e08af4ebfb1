// The Socket.IO client behind what the hub needs of it. The only file that knows
// the library.

import { io, type Socket } from "socket.io-client";

export interface WireOptions {
  origin: string;
  path: string;
  transports: ("websocket" | "polling")[];
}

export interface WireHandlers {
  onConnect: () => void;
  /** byServer: it was told to stay away and does not come back by itself. */
  onDisconnect: (byServer: boolean) => void;
  onConnectError: (code: string | undefined, gaveUp: boolean) => void;
  onTransport: () => void;
  onMessage: (name: string, body: unknown) => void;
}

export interface Wire {
  readonly connected: boolean;
  /** Of the connection: what carries it, and the session's id, which may begin with a worker's name. */
  readonly transport: string | null;
  readonly session: string | null;
  connect: () => void;
  disconnect: () => void;
  close: () => void;
  ask: (event: string, body: Record<string, unknown>) => Promise<unknown>;
}

export type MakeWire = (handlers: WireHandlers) => Wire;

const ackTimeoutMs = 10_000;

export const socketWire =
  (options: WireOptions): MakeWire =>
  (handlers) => {
    const socket: Socket = io(`${options.origin}/rt`, {
      path: options.path,
      transports: options.transports,
      tryAllTransports: true,
      withCredentials: true,
      autoConnect: false,
      timeout: 4_000,
      reconnectionDelayMax: 5_000,
    });
    socket.on("connect", () => {
      handlers.onConnect();
      socket.io.engine.once("upgrade", handlers.onTransport);
    });
    socket.on("disconnect", (reason) => handlers.onDisconnect(reason === "io server disconnect"));
    socket.on("connect_error", (error: Error & { data?: { code?: string } }) =>
      handlers.onConnectError(error.data?.code, !socket.active),
    );
    socket.onAny((name: string, body: unknown) => handlers.onMessage(name, body));
    return {
      get connected() {
        return socket.connected;
      },
      get transport() {
        return socket.connected ? socket.io.engine.transport.name : null;
      },
      get session() {
        return (socket.connected && (socket.io.engine as { id?: string }).id) || null;
      },
      connect: () => void socket.connect(),
      disconnect: () => void socket.disconnect(),
      close: () => {
        socket.removeAllListeners();
        socket.offAny();
        socket.disconnect();
      },
      ask: (event, body) => socket.timeout(ackTimeoutMs).emitWithAck(event, body),
    };
  };
