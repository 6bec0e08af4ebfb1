// Which rooms the browser is in, over all its tabs: who wants which, and what the
// server was asked for. Pure book-keeping; the hub does the talking.

import { isWholeStreamRoom } from "./stream";

interface Room {
  tabs: Set<string>;
  /** The server has us in it. */
  joined: boolean;
  /** The stream of a whole-stream room was delivered up to here since it was joined. */
  cursor: number | undefined;
  /** Not subscribed yet, or to be replayed from a lower number: from where. */
  asked: { after: number | undefined } | undefined;
  /** Tabs that know nothing of the room: they load it once it is joined. */
  behind: Set<string>;
}

const lower = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);

export interface Asking {
  rooms: string[];
  after: Record<string, number>;
}

export class RoomTable {
  private readonly rooms = new Map<string, Room>();

  /** A tab wants a room; true when it must load what it shows of it at once. */
  want(tab: string, name: string, after: number | undefined, covered: boolean): boolean {
    let room = this.rooms.get(name);
    if (!room) {
      room = { tabs: new Set(), joined: false, cursor: undefined, asked: undefined, behind: new Set() };
      this.rooms.set(name, room);
    }
    room.tabs.add(tab);
    if (!room.joined) {
      room.asked = { after: lower(room.asked?.after, after) };
      if (after === undefined && !covered) room.behind.add(tab);
      return false;
    }
    if (after === undefined || !isWholeStreamRoom(name)) return true;
    // Known up to less than what was delivered before the tab came: once more from there.
    if (room.cursor === undefined || after < room.cursor)
      room.asked = { after: lower(room.asked?.after, after) };
    return false;
  }

  drop(tab: string, names?: Iterable<string>): void {
    for (const name of names ?? this.rooms.keys()) {
      const room = this.rooms.get(name);
      if (!room) continue;
      room.tabs.delete(tab);
      room.behind.delete(tab);
      if (room.tabs.size === 0 && !room.joined) this.rooms.delete(name);
    }
  }

  tabsIn(names: Iterable<string>): Set<string> {
    const tabs = new Set<string>();
    for (const name of names) for (const tab of this.rooms.get(name)?.tabs ?? []) tabs.add(tab);
    return tabs;
  }

  /** An event of a stream was delivered to the tabs in the stream's own room. */
  delivered(stream: string, sequence: number): void {
    const room = this.rooms.get(stream);
    if (room?.joined && sequence > (room.cursor ?? -1)) room.cursor = sequence;
  }

  /** The connection is gone: everything has to be asked for again, from where it was. */
  disconnected(): void {
    for (const [name, room] of this.rooms) {
      room.joined = false;
      if (room.tabs.size === 0) this.rooms.delete(name);
      else room.asked = { after: lower(room.asked?.after, room.cursor) };
    }
  }

  /** Nothing can be caught up: whoever shows a room without a number loads it. */
  allBehind(): void {
    for (const room of this.rooms.values())
      if (room.asked && room.asked.after === undefined) for (const tab of room.tabs) room.behind.add(tab);
  }

  unwanted(limit: number): string[] {
    const names = [...this.rooms].filter(([, room]) => room.joined && room.tabs.size === 0);
    return names.slice(0, limit).map(([name]) => name);
  }

  left(names: string[]): void {
    for (const name of names) {
      const room = this.rooms.get(name);
      if (!room) continue;
      room.joined = false;
      if (room.tabs.size === 0) this.rooms.delete(name);
      else room.asked ??= { after: room.cursor };
    }
  }

  asking(limit: number): Asking {
    const due = [...this.rooms].filter(([, room]) => room.asked && room.tabs.size > 0).slice(0, limit);
    const after: Record<string, number> = {};
    for (const [name, room] of due) if (room.asked?.after !== undefined) after[name] = room.asked.after;
    return { rooms: due.map(([name]) => name), after };
  }

  /** The server answered; gives the tabs that have to load a room. */
  answered(sent: Asking): Map<string, string[]> {
    const load = new Map<string, string[]>();
    for (const name of sent.rooms) {
      const room = this.rooms.get(name);
      if (!room) continue;
      const after = sent.after[name];
      // Somebody may have asked for more meanwhile.
      if (room.asked?.after === after) room.asked = undefined;
      room.cursor = room.joined ? lower(room.cursor, after) : after;
      room.joined = true;
      for (const tab of room.behind) load.set(tab, [...(load.get(tab) ?? []), name]);
      room.behind.clear();
    }
    return load;
  }
}
