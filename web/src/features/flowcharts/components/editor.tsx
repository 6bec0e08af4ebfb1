import { ActionIcon, Button, Group, Stack, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  IconArrowBackUp,
  IconArrowForwardUp,
  IconCalendarClock,
  IconDeviceFloppy,
  IconKeyboard,
  IconLayoutDistributeHorizontal,
  IconPlayerPlayFilled,
} from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { useBlocker } from "@tanstack/react-router";
import { ReactFlowProvider, useReactFlow } from "@xyflow/react";
import { useCallback, useRef, useState } from "react";
import type { Flowchart } from "../../../api/aliases";
import { Modal } from "../../../ui/dialogs";
import { LinkButton } from "../../../ui/link-button";
import { notify } from "../../../ui/notices";
import { PageFrame } from "../../../ui/page";
import { flowchartKeys } from "../api";
import { isDirty, useEditor } from "../store";
import { isStale, useSave, useValidation } from "../use-editing";
import { Canvas } from "./canvas";
import classes from "./editor.module.css";
import { Inspector } from "./inspector";
import { Palette } from "./palette";
import { Problems } from "./problems";
import { RunDialog } from "./run-dialog";
import { KeyboardMap, useShortcuts } from "./shortcuts";

function UnsavedGuard({ save }: { save: ReturnType<typeof useSave> }) {
  const dirty = useEditor(isDirty);
  const guard = useBlocker({
    shouldBlockFn: ({ current, next }) => dirty && current.pathname !== next.pathname,
    enableBeforeUnload: dirty,
    withResolver: true,
  });
  if (guard.status !== "blocked") return null;
  return (
    <Modal opened onClose={guard.reset} title="Unsaved changes">
      <Stack gap="md">
        <Text size="sm">This flowchart has changes that are not saved.</Text>
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={guard.reset}>
            Stay
          </Button>
          <Button variant="default" onClick={guard.proceed}>
            Leave without saving
          </Button>
          <Button
            loading={save.isPending}
            onClick={() =>
              save.mutate({}, { onSuccess: () => guard.proceed(), onError: () => guard.reset() })
            }
          >
            Save and leave
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

// Somebody else stored a version since this one was opened.
function StaleDialog({ flowchartId, save }: { flowchartId: number; save: ReturnType<typeof useSave> }) {
  const cache = useQueryClient();
  if (!isStale(save.error)) return null;
  const takeTheirs = () => {
    save.reset();
    useEditor.setState({ flowchartId: 0 });
    void cache.resetQueries({ queryKey: flowchartKeys.graph(flowchartId) });
  };
  return (
    <Modal opened onClose={() => save.reset()} title="There is a newer version">
      <Stack gap="md">
        <Text size="sm">
          Somebody stored another version while you were editing. Saving yours makes it the newest one; theirs
          stays in the history of versions.
        </Text>
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={() => save.reset()}>
            Go on editing
          </Button>
          <Button variant="default" onClick={takeTheirs}>
            Discard mine, open theirs
          </Button>
          <Button loading={save.isPending} onClick={() => save.mutate({ overwrite: true })}>
            Save mine
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

interface ToolsProps {
  flowchartId: number;
  save: () => void;
  saving: boolean;
  run: () => void;
  help: () => void;
}

function Tools({ flowchartId, save, saving, run, help }: ToolsProps) {
  const dirty = useEditor(isDirty);
  const canUndo = useEditor((s) => s.history.past.length > 0);
  const canRedo = useEditor((s) => s.history.future.length > 0);
  const { undo, redo, layout } = useEditor.getState();
  const flow = useReactFlow();
  const arrange = () => {
    layout();
    requestAnimationFrame(() => void flow.fitView({ padding: 0.08, maxZoom: 1, duration: 200 }));
  };
  return (
    <>
      <span className={classes.dirty} role="status">
        {dirty ? "Unsaved changes" : ""}
      </span>
      <Group gap={2} wrap="nowrap">
        <Tooltip label="Undo (Ctrl Z)">
          <ActionIcon aria-label="Undo" disabled={!canUndo} onClick={undo}>
            <IconArrowBackUp size={18} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Redo (Ctrl Y)">
          <ActionIcon aria-label="Redo" disabled={!canRedo} onClick={redo}>
            <IconArrowForwardUp size={18} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Lay out (L)">
          <ActionIcon aria-label="Lay out" onClick={arrange}>
            <IconLayoutDistributeHorizontal size={18} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Keys (?)">
          <ActionIcon aria-label="Keys" onClick={help}>
            <IconKeyboard size={18} />
          </ActionIcon>
        </Tooltip>
      </Group>
      <LinkButton
        to="/schedules"
        search={{ flowchart: flowchartId, new: true }}
        variant="default"
        leftSection={<IconCalendarClock size={15} />}
      >
        Schedule
      </LinkButton>
      <Button
        variant="default"
        leftSection={<IconDeviceFloppy size={15} />}
        disabled={!dirty}
        loading={saving}
        onClick={save}
      >
        Save
      </Button>
      <Button leftSection={<IconPlayerPlayFilled size={13} />} onClick={run}>
        Run
      </Button>
    </>
  );
}

function EditorInner({ flowchart }: { flowchart: Flowchart }) {
  const id = flowchart.id;
  const save = useSave(id);
  const [running, setRunning] = useState(false);
  const [helping, help] = useDisclosure(false);
  const search = useRef<HTMLInputElement>(null);
  const connectFrom = useEditor((s) => s.history.present.nodes.find((n) => n.id === s.connectFrom));
  useValidation(id);

  const { mutate } = save;
  const onSave = useCallback(() => {
    if (isDirty(useEditor.getState())) mutate({});
  }, [mutate]);
  const onRun = useCallback(() => {
    if (useEditor.getState().findings.length === 0) setRunning(true);
    else
      notify(
        "The flowchart has problems and does not run. They are listed at the canvas; each leads to its node.",
      );
  }, []);
  useShortcuts({ save: onSave, run: onRun, help: help.open, search });

  return (
    <PageFrame
      full
      title={flowchart.name}
      crumbs={[{ label: "Flowcharts", to: "/flowcharts" }, { label: flowchart.name }]}
      actions={<Tools flowchartId={id} save={onSave} saving={save.isPending} run={onRun} help={help.open} />}
    >
      <div className={classes.editor}>
        <Palette search={search} />
        <Canvas onRefused={notify}>
          <Problems />
        </Canvas>
        {connectFrom && (
          <div className={classes.connecting} role="status">
            Connecting from “{connectFrom.title}”: choose the other node. Esc stops.
          </div>
        )}
        <Inspector flowchartId={id} />
      </div>
      <KeyboardMap opened={helping} onClose={help.close} />
      {running && <RunDialog flowchartId={id} save={save} onClose={() => setRunning(false)} />}
      <StaleDialog flowchartId={id} save={save} />
      <UnsavedGuard save={save} />
    </PageFrame>
  );
}

export function Editor({ flowchart }: { flowchart: Flowchart }) {
  return (
    <ReactFlowProvider>
      <EditorInner flowchart={flowchart} />
    </ReactFlowProvider>
  );
}
