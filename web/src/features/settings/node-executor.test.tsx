import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { NodeExecutor } from "../../api/aliases";
import { serve, show } from "../../test/render";
import { NodeExecutorSettings } from "./node-executor-form";

const stored: NodeExecutor = {
  provider: "kubernetes",
  dispatch_timeout_seconds: 300,
  execution_timeout_seconds: 1800,
  log_collection_timeout_seconds: 30,
  cancel_grace_timeout_seconds: 15,
  cancel_force_kill_enabled: true,
  workspace_identity_key: "default",
  k8s_namespace: "llmctl",
  k8s_frontier_image: "frontier",
  k8s_frontier_image_tag: "1.0",
  k8s_vllm_image: "vllm",
  k8s_vllm_image_tag: "1.0",
  k8s_in_cluster: false,
  k8s_context: "",
  k8s_service_account: "",
  k8s_gpu_limit: 0,
  k8s_job_ttl_seconds: 1800,
  k8s_image_pull_secrets: ["one"],
  k8s_api_url: "http://studio.test/api",
  k8s_cpu_request: "100m",
  k8s_memory_request: "128Mi",
  k8s_cpu_limit: "1",
  k8s_memory_limit: "1Gi",
  k8s_argocd_app_name: "",
  k8s_kubeconfig: {
    set: true,
    updated_at: "2026-01-01T00:00:00Z",
    fingerprint: "ab12cd34",
    contexts: ["alpha", "beta"],
    current_context: "alpha",
  },
  changed: ["provider", "k8s_namespace"],
};

const get = "GET /settings/node_executor";
const patch = "PATCH /settings/node_executor";
const save = () => screen.getByRole<HTMLButtonElement>("button", { name: "Save" });
const type = (label: string, value: string) =>
  fireEvent.change(screen.getByLabelText(label), { target: { value } });

async function open(replies: Parameters<typeof serve>[0] = {}, manages = true) {
  const sent = serve({
    [get]: { body: stored, etag: '"3"' },
    [patch]: { body: stored, etag: '"4"' },
    ...replies,
  });
  await show(<NodeExecutorSettings manages={manages} />);
  await screen.findByLabelText("Namespace");
  return sent;
}

describe("the settings of the node executor", () => {
  it("sends what was changed and nothing else, against the version that was seen", async () => {
    const sent = await open();
    expect(save().disabled).toBe(true);
    type("Memory limit", "2Gi");
    type("Pull secrets", "one, two");
    type("GPUs", "1");
    fireEvent.click(save());
    await screen.findByText(/^Saved\./);
    expect(sent[1]?.body).toEqual({
      k8s_memory_limit: "2Gi",
      k8s_image_pull_secrets: ["one", "two"],
      k8s_gpu_limit: 1,
    });
    expect(sent[1]?.headers.get("If-Match")).toBe('"3"');
  });

  it("marks what the environment says, and gives a value back to it", async () => {
    const sent = await open();
    expect(screen.getAllByText("set here")).toHaveLength(2);
    fireEvent.click(screen.getByRole("button", { name: "Follow the environment again: k8s_namespace" }));
    screen.getByText("from the environment once saved");
    fireEvent.click(save());
    await screen.findByText(/^Saved\./);
    expect(sent[1]?.body).toEqual({ k8s_namespace: null });
  });

  it("says at the field what the server refuses", async () => {
    const errors = [
      { location: "body.k8s_memory_limit", message: 'is "lots"; accepted are amounts from 16Mi to 4Ti' },
      { location: "body.k8s_image_pull_secrets[1]", message: 'is "N O"; accepted is the name of a Secret' },
    ];
    await open({ [patch]: { status: 400, body: { detail: "The settings cannot be used.", errors } } });
    type("Memory limit", "lots");
    fireEvent.click(save());
    const fault = await screen.findByText(/accepted are amounts/);
    expect(fault.parentElement?.textContent).toMatch(/^Memory limit/);
    expect(screen.getByText(/name of a Secret/).parentElement?.textContent).toMatch(/^Pull secrets/);
    screen.getByText("Nothing was saved: see the fields marked above.");
    type("Memory limit", "2Gi");
    expect(screen.queryByText(/accepted are amounts/)).toBeNull();
    type("Execution", "");
    screen.getByText("Give a whole number.");
    expect(save().disabled).toBe(true);
  });

  it("says that somebody else has saved meanwhile", async () => {
    await open({ [patch]: { status: 412, body: { detail: "Somebody saved these settings." } } });
    type("Namespace", "other");
    fireEvent.click(save());
    await screen.findByText("Somebody saved these settings.");
  });

  it("writes a kubeconfig and never shows one", async () => {
    const sent = await open();
    screen.getByText("ab12cd34");
    fireEvent.click(screen.getByRole("button", { name: "Replace" }));
    expect(screen.getByLabelText<HTMLTextAreaElement>("New kubeconfig").value).toBe("");
    type("New kubeconfig", "apiVersion: v1\n");
    fireEvent.click(save());
    await screen.findByText(/^Saved\./);
    expect(sent[1]?.body).toEqual({ k8s_kubeconfig: "apiVersion: v1\n" });
    await waitFor(() => expect(screen.queryByLabelText("New kubeconfig")).toBeNull());
  });

  it("asks before a kubeconfig is removed", async () => {
    const sent = await open();
    fireEvent.click(screen.getByRole("button", { name: "Remove" }));
    await screen.findByText("Remove the kubeconfig?");
    expect(sent).toHaveLength(1);
    fireEvent.click(screen.getByRole("button", { name: "Remove kubeconfig" }));
    await screen.findByText("The kubeconfig is removed.");
    expect(sent[1]?.body).toEqual({ k8s_kubeconfig: null, k8s_context: null });
  });

  it("tests what is stored, and lists each missing permission", async () => {
    const sent = await open({
      "POST /settings/node_executor/test": {
        body: {
          ok: false,
          version: "v1.33.1",
          server: "https://10.0.0.1",
          namespace: "llmctl",
          images: ["frontier:1.0", "vllm:1.0"],
          checks: [
            { name: "connection", ok: true, message: "" },
            { name: "permissions", ok: false, message: "Some are missing." },
          ],
          missing_permissions: ["create jobs", "get pods/log"],
        },
      },
    });
    fireEvent.click(screen.getByRole("button", { name: "Test" }));
    await screen.findByText("v1.33.1");
    const missing = within(screen.getByRole("list", { name: "Missing permissions" }));
    expect(missing.getAllByRole("listitem").map((li) => li.textContent)).toEqual([
      "create jobs",
      "get pods/log",
    ]);
    type("Namespace", "other");
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Test" }).disabled).toBe(true);
    expect(sent.filter((s) => s.method === "POST")).toHaveLength(1);
  });

  it("only shows them to who does not manage", async () => {
    await open({}, false);
    expect(screen.getByLabelText<HTMLInputElement>("Namespace").disabled).toBe(true);
    for (const name of ["Save", "Test", "Replace"]) expect(screen.queryByRole("button", { name })).toBeNull();
  });
});
