import { Button, Group, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Modal } from "./dialogs";
import { ErrorNotice } from "./feedback";

interface Props {
  title: string;
  children: ReactNode;
  action: string;
  /** What the way out is called, where "Cancel" would be taken for the action. */
  keep?: string;
  run: () => Promise<unknown>;
  onClose: () => void;
}

/** Asks before something that cannot be undone, and names it. */
export function Confirm({ title, children, action, keep = "Cancel", run, onClose }: Props) {
  const act = useMutation({ mutationFn: run, onSuccess: onClose });
  return (
    <Modal opened onClose={onClose} title={title}>
      <Stack gap="md">
        {act.error && <ErrorNotice error={act.error} />}
        <Text size="sm" component="div">
          {children}
        </Text>
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose} data-autofocus>
            {keep}
          </Button>
          <Button color="red" loading={act.isPending} onClick={() => act.mutate()}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
