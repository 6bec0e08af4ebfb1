import { IconArrowRight, IconCircleCheck, IconCircleDashed } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { Section } from "../../ui/page";
import classes from "./overview.module.css";

type Step = "provider" | "model" | "flowchart" | "run";

const order: { key: Step; title: string; text: string; to: string }[] = [
  {
    key: "provider",
    title: "Connect a provider",
    text: "A model server or a hosted service, with its key.",
    to: "/models",
  },
  {
    key: "model",
    title: "Name a model",
    text: "Choose which of its models your flowcharts use.",
    to: "/models",
  },
  {
    key: "flowchart",
    title: "Draw a flowchart",
    text: "Prompts, decisions, requests and scripts.",
    to: "/flowcharts",
  },
  { key: "run", title: "Run it", text: "Watch each step as it happens.", to: "/flowcharts" },
];

export function FirstSteps({ steps }: { steps: Record<Step, boolean | undefined> }) {
  const next = order.find((step) => !steps[step.key]);
  return (
    <Section title="First steps">
      <ol className={classes.steps}>
        {order.map((step) => (
          <li key={step.key} data-done={steps[step.key] || undefined} data-next={step === next || undefined}>
            <Link to={step.to}>
              {steps[step.key] ? (
                <IconCircleCheck size={18} color="var(--st-succeeded)" aria-label="Done" />
              ) : (
                <IconCircleDashed size={18} color="var(--st-muted)" aria-label="To do" />
              )}
              <span>
                <b>{step.title}</b>
                <small>{step.text}</small>
              </span>
              {step === next && <IconArrowRight size={16} aria-hidden />}
            </Link>
          </li>
        ))}
      </ol>
    </Section>
  );
}
