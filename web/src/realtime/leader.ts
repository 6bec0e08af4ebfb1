// Without shared workers one tab leads: it holds a lock and the socket, and serves
// the others over a channel. When it ends, the lock passes on; when it sleeps, a
// tab that misses it takes the lock away.

import type { Hub, TabPort } from "./hub";
import type { ToHub, ToTab } from "./messages";
import type { Carrier, OpenCarrier } from "./tab";

export interface Channel {
  postMessage: (message: unknown) => void;
  onmessage: ((event: MessageEvent) => void) | null;
  close: () => void;
}

export interface Election {
  /** Names lock and channel; tabs of different servers or users do not meet. */
  scope: string;
  locks: LockManager;
  openChannel: (scope: string) => Channel;
  /** Loads what only a leader needs. */
  makeHub: () => Promise<Hub>;
  /** Calls back when a tab has ended. */
  whenEnded: (id: string, onEnd: () => void) => void;
}

type Posted =
  | { to: "leader"; tab: string; message: ToHub }
  | { to: "tab"; tab: string; leader: string; message: ToTab }
  | { to: "all"; leader: string };

export const leaderCarrier =
  (election: Election): OpenCarrier =>
  (id, receive, onFail) =>
    new Candidate(election, id, receive, onFail);

class Candidate implements Carrier {
  readonly kind = "leader";
  private readonly channel: Channel;
  private hub: Hub | undefined;
  private leader: string | undefined;
  private queued: AbortController | undefined;
  private closed = false;
  private resign: () => void = () => {};

  constructor(
    private readonly election: Election,
    private readonly id: string,
    private readonly receive: (message: ToTab) => void,
    private readonly onFail: () => void,
  ) {
    this.channel = election.openChannel(election.scope);
    this.channel.onmessage = ({ data }: MessageEvent<Posted>) => this.onPosted(data);
    this.queue();
  }

  post(message: ToHub): void {
    if (this.hub) this.hub.receive(this.id, { post: this.receive }, message);
    else this.channel.postMessage({ to: "leader", tab: this.id, message } satisfies Posted);
  }

  revive(): boolean {
    if (!this.hub) this.request({ steal: true });
    return true;
  }

  close(): void {
    this.closed = true;
    this.queued?.abort();
    this.hub?.stop();
    this.hub = undefined;
    this.resign();
    this.channel.close();
  }

  private queue(): void {
    this.queued = new AbortController();
    this.request({ signal: this.queued.signal });
  }

  private request(options: LockOptions): void {
    const { locks, scope } = this.election;
    locks
      .request(scope, options, () => this.lead(options.steal === true))
      .catch((cause: unknown) => {
        if (this.closed || options.signal?.aborted) return;
        if (cause instanceof DOMException && cause.name === "AbortError") this.deposed();
        else this.onFail();
      });
  }

  // Somebody found us asleep and leads now.
  private deposed(): void {
    this.hub?.stop();
    this.hub = undefined;
    this.leader = undefined;
    this.queue();
    this.receive({ t: "unknown" });
  }

  /** Leads until the returned promise ends, which holds the lock. */
  private async lead(stolen: boolean): Promise<void> {
    if (this.closed || this.hub) return;
    if (stolen) this.queued?.abort();
    const resigned = new Promise<void>((resolve) => {
      this.resign = resolve;
    });
    const hub = await this.election.makeHub();
    if (this.closed) {
      hub.stop();
      return;
    }
    this.hub = hub;
    this.leader = this.id;
    this.channel.postMessage({ to: "all", leader: this.id } satisfies Posted);
    this.receive({ t: "unknown" });
    await resigned;
  }

  private onPosted(posted: Posted): void {
    if (this.closed) return;
    if (posted.to === "all") {
      // The one that was deposed while it slept learns it from its lock.
      if (this.hub) return;
      this.leader = posted.leader;
      this.receive({ t: "unknown" });
    } else if (posted.to === "tab") {
      if (posted.tab !== this.id || this.hub) return;
      this.leader ??= posted.leader;
      if (posted.leader === this.leader) this.receive(posted.message);
    } else if (this.hub) this.serve(posted.tab, posted.message);
  }

  private serve(tab: string, message: ToHub): void {
    const port: TabPort = {
      post: (answer) =>
        this.channel.postMessage({ to: "tab", tab, leader: this.id, message: answer } satisfies Posted),
    };
    const hub = this.hub;
    if (message.t === "hello" && message.locked) this.election.whenEnded(tab, () => hub?.release(tab));
    hub?.receive(tab, port, message);
  }
}
