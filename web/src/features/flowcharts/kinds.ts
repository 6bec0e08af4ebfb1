import {
  IconArrowsSplit2,
  IconBook2,
  IconBrain,
  IconFlag,
  IconHandStop,
  IconListCheck,
  IconMessage2Code,
  IconPlayerPlay,
  IconPlayerStop,
  IconSchema,
  IconTerminal2,
  IconWorld,
  type TablerIcon,
} from "@tabler/icons-react";
import type { NodeKind } from "../../api/aliases";

export interface KindLook {
  label: string;
  text: string;
  icon: TablerIcon;
  /** One of the tints in flow.module.css. */
  tint: "edge" | "model" | "logic" | "io" | "code" | "data";
  /** False: stored, but found invalid until it can run. */
  runs: boolean;
}

export const kindLooks: Record<NodeKind, KindLook> = {
  start: {
    label: "Start",
    text: "Where a run begins, with its input",
    icon: IconPlayerPlay,
    tint: "edge",
    runs: true,
  },
  task: { label: "Task", text: "Asks a model", icon: IconMessage2Code, tint: "model", runs: true },
  decision: {
    label: "Decision",
    text: "Chooses which way to go on",
    icon: IconArrowsSplit2,
    tint: "logic",
    runs: true,
  },
  http: { label: "HTTP request", text: "Calls a web address", icon: IconWorld, tint: "io", runs: true },
  script: { label: "Script", text: "Runs a program", icon: IconTerminal2, tint: "code", runs: true },
  end: { label: "End", text: "Gives the run's output", icon: IconPlayerStop, tint: "edge", runs: true },
  rag: { label: "Retrieval", text: "Asks or indexes sources", icon: IconBook2, tint: "data", runs: true },
  memory: { label: "Memory", text: "Keeps or recalls facts", icon: IconBrain, tint: "data", runs: false },
  plan: { label: "Plan", text: "Writes a plan", icon: IconListCheck, tint: "model", runs: false },
  milestone: { label: "Milestone", text: "Marks progress", icon: IconFlag, tint: "logic", runs: false },
  flowchart: {
    label: "Flowchart",
    text: "Runs another flowchart",
    icon: IconSchema,
    tint: "logic",
    runs: false,
  },
  approval: { label: "Approval", text: "Waits for a person", icon: IconHandStop, tint: "logic", runs: false },
};

export const paletteKinds: NodeKind[] = ["start", "task", "decision", "rag", "http", "script", "end"];
