import { ActionIcon, Button, Skeleton, Stack, Text } from "@mantine/core";
import { IconAlertCircle, IconCheck, IconCopy, IconRefresh, type TablerIcon } from "@tabler/icons-react";
import { type ReactNode, useEffect, useState } from "react";
import { ApiError } from "../api/client";
import classes from "./feedback.module.css";
import { Tooltip } from "./tooltip";

export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : "Something failed that does not say why.";

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission, or not a secure page
  }
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1_500);
    return () => clearTimeout(timer);
  }, [done]);
  return (
    <Tooltip label={done ? "Copied" : label}>
      <ActionIcon size="sm" aria-label={label} onClick={() => void copyText(text).then(setDone)}>
        {done ? <IconCheck size={14} /> : <IconCopy size={14} />}
      </ActionIcon>
    </Tooltip>
  );
}

/** An id that can be copied by clicking on it. */
export function Id({ children, copy }: { children: string; copy?: string }) {
  return (
    <span className={classes.id}>
      {children}
      <CopyButton text={copy ?? children} label="Copy id" />
    </span>
  );
}

export function RequestId({ error }: { error: unknown }) {
  if (!(error instanceof ApiError) || !error.requestId) return null;
  return (
    <span className={classes.request}>
      Request <code>{error.requestId}</code>
      <CopyButton text={error.requestId} label="Copy request id" />
    </span>
  );
}

export function ErrorNotice({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const fields = error instanceof ApiError ? error.errors.filter((e) => e.message !== messageOf(error)) : [];
  return (
    <div role="alert" className={classes.error}>
      <IconAlertCircle size={18} className={classes.errorIcon} aria-hidden />
      <div className={classes.errorBody}>
        <div>{messageOf(error)}</div>
        {fields.length > 0 && (
          <ul>
            {fields.slice(0, 8).map((f) => (
              <li key={`${f.location} ${f.message}`}>
                {f.location && <code>{f.location}</code>} {f.message}
              </li>
            ))}
          </ul>
        )}
        <RequestId error={error} />
      </div>
      {onRetry && (
        <Button variant="default" leftSection={<IconRefresh size={14} />} onClick={onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}

interface EmptyProps {
  icon: TablerIcon;
  title: string;
  children: ReactNode;
  action?: ReactNode;
}

export function Empty({ icon: Icon, title, children, action }: EmptyProps) {
  return (
    <Stack align="center" gap="xs" className={classes.empty}>
      <Icon size={32} stroke={1.4} aria-hidden />
      <Text fw={600}>{title}</Text>
      <Text c="dimmed" size="sm" maw={440} ta="center">
        {children}
      </Text>
      {action && <div className={classes.emptyAction}>{action}</div>}
    </Stack>
  );
}

export function Lines({ n = 5, height = 40 }: { n?: number; height?: number }) {
  return (
    <Stack gap={4} aria-busy="true" aria-label="Loading">
      {Array.from({ length: n }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines are all alike
        <Skeleton key={i} height={height} radius={4} />
      ))}
    </Stack>
  );
}
