import { ActionIcon, Tooltip } from "@mantine/core";
import { IconChevronLeft, IconChevronRight } from "@tabler/icons-react";
import classes from "./message.module.css";

interface Props {
  /** From 1. */
  index: number;
  total: number;
  what: string;
  busy: boolean;
  onGo: (index: number) => void;
}

/** ‹ 2/3 ›: the versions of a message. */
export function BranchSwitcher({ index, total, what, busy, onGo }: Props) {
  if (total < 2) return null;
  const step = (to: number, label: string, icon: typeof IconChevronLeft) => {
    const Icon = icon;
    return (
      <Tooltip label={label}>
        <ActionIcon
          size="sm"
          aria-label={label}
          disabled={busy || to < 1 || to > total}
          onClick={() => onGo(to)}
        >
          <Icon size={14} />
        </ActionIcon>
      </Tooltip>
    );
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: two buttons and a number are no fieldset
    <span className={classes.switcher} role="group" aria-label={`Version ${index} of ${total} of ${what}`}>
      {step(index - 1, "Earlier version", IconChevronLeft)}
      <span aria-hidden>
        {index}/{total}
      </span>
      {step(index + 1, "Later version", IconChevronRight)}
    </span>
  );
}
