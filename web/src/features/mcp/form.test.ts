import { describe, expect, it } from "vitest";
import { mcpServer } from "../../test/mcp";
import { changeOf, draftOf, emptyForm, faultsOf, formOf } from "./form";

describe("a new server", () => {
  it("is sent by its transport, with secrets beside the config", () => {
    const pairs = [
      { key: 1, name: " Authorization ", value: "Bearer x", stored: false },
      { key: 2, name: "", value: "lost", stored: false },
    ];
    expect(
      draftOf({ ...emptyForm, name: " Files ", serverKey: "files", url: " https://h/mcp ", pairs }),
    ).toEqual({
      name: "Files",
      server_key: "files",
      enabled: true,
      timeout_seconds: 60,
      approval: "never",
      config: { url: "https://h/mcp", transport: "streamable-http" },
      headers: { Authorization: "Bearer x" },
    });
    const command = { ...emptyForm, name: "Local", transport: "stdio" as const, command: 'npx -y "a b"' };
    expect(
      draftOf({ ...command, pairs: [{ key: 1, name: "TOKEN", value: "t", stored: false }] }),
    ).toMatchObject({
      config: { command: "npx", args: ["-y", "a b"] },
      env: { TOKEN: "t" },
    });
  });

  it("tells what is missing", () => {
    expect(Object.keys(faultsOf(emptyForm))).toEqual(["name", "url"]);
    const bad = { ...emptyForm, name: "x", transport: "stdio" as const, serverKey: "a b", timeout: 4000 };
    expect(Object.keys(faultsOf(bad))).toEqual(["serverKey", "command", "timeout"]);
  });
});

describe("a change", () => {
  const server = mcpServer({
    secrets: [
      { kind: "header", name: "Authorization", fingerprint: "ab", set_at: "2026-01-01T00:00:00Z" },
      { kind: "header", name: "X-Team", fingerprint: "cd", set_at: "2026-01-01T00:00:00Z" },
    ],
  });

  it("leaves stored secrets alone, and is nothing when nothing changed", () => {
    expect(changeOf(formOf(server), server)).toEqual({});
  });

  it("names what differs, replaces one secret and removes another", () => {
    const form = formOf(server);
    const pairs = form.pairs.map((p) => (p.name === "Authorization" ? { ...p, value: "new" } : p));
    const change = changeOf({ ...form, timeout: 5, pairs, removed: ["X-Team"] }, server);
    expect(change).toEqual({ timeout_seconds: 5, headers: { Authorization: "new", "X-Team": null } });
  });
});
