import type { NodeKind } from "../../../../api/aliases";
import { NumberInput, Select, TextInput } from "../../../../ui/inputs";
import { errorAt, errorOf } from "../../findings";
import classes from "../editor.module.css";
import { Fold, type FormProps, objectOf, textOf, useSet } from "./common";

/** What a node may ask of the pod that runs it. */
export const podKeys = ["resources", "image_class"];

// Starts, ends and decisions are worked by the Studio itself, and the others cannot run yet.
const inPods: readonly NodeKind[] = ["task", "http", "script"];

export const runsInPod = (kind: NodeKind): boolean => inPods.includes(kind);

export function PodForm({ node, findings }: FormProps) {
  const set = useSet(node);
  const resources = objectOf(node.config.resources);
  const write = (key: "cpu" | "memory" | "gpu", value: string | number | undefined) => {
    const next = { ...resources };
    if (value === undefined || value === "") delete next[key];
    else next[key] = value;
    set("resources", Object.keys(next).length > 0 ? next : undefined);
  };
  const amount = (key: "cpu" | "memory"): string => {
    const value = resources[key];
    return typeof value === "string" ? value : "";
  };
  const whole = errorOf(
    findings.filter((f) => !/^config\.resources\.(cpu|memory|gpu)\b/.test(f.message)),
    "resources",
  );
  return (
    <Fold title="Executor" open={Boolean(node.config.resources || node.config.image_class)}>
      <p className={classes.note}>
        Of the pod that runs this node, where nodes run as Kubernetes Jobs. What is empty follows the
        settings.
      </p>
      {whole && (
        <p role="alert" className={classes.note}>
          {whole}
        </p>
      )}
      <div className={classes.pair}>
        <TextInput
          label="CPU"
          placeholder="500m or 2"
          maxLength={32}
          value={amount("cpu")}
          error={errorAt(findings, "resources.cpu")}
          onChange={(e) => write("cpu", e.currentTarget.value.trim())}
        />
        <TextInput
          label="Memory"
          placeholder="512Mi or 2Gi"
          maxLength={32}
          value={amount("memory")}
          error={errorAt(findings, "resources.memory")}
          onChange={(e) => write("memory", e.currentTarget.value.trim())}
        />
      </div>
      <NumberInput
        label="GPUs"
        placeholder="Default"
        min={0}
        max={8}
        allowDecimal={false}
        value={typeof resources.gpu === "number" ? resources.gpu : ""}
        error={errorAt(findings, "resources.gpu")}
        onChange={(value) => write("gpu", typeof value === "number" ? value : undefined)}
      />
      <Select
        label="Image"
        placeholder="By the model's provider"
        clearable
        data={[
          { value: "frontier", label: "Frontier: hosted models, and what needs none" },
          { value: "vllm", label: "vLLM: local models" },
        ]}
        value={textOf(node, "image_class") || null}
        error={errorOf(findings, "image_class")}
        onChange={(value) => set("image_class", value ?? undefined)}
      />
    </Fold>
  );
}
