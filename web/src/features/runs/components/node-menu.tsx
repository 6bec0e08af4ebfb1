import "@mantine/core/styles/Popover.css";
import "@mantine/core/styles/Menu.css";
import { ActionIcon, Menu } from "@mantine/core";
import { IconDotsVertical, IconPlayerStop, IconRepeat } from "@tabler/icons-react";
import { lazy, Suspense, useState } from "react";
import type { FlowchartRun, NodeRun } from "../../../api/aliases";
import { whyNotCancelNode, whyNotRetryFrom } from "../control";
import type { RunControl } from "../use-control";
import classes from "./node-menu.module.css";

// Opened rarely.
const Confirm = lazy(async () => ({ default: (await import("../../../ui/confirm")).Confirm }));

interface Props {
  flowchartRun: FlowchartRun;
  run: NodeRun | undefined;
  control: RunControl;
  onAskCancel: () => void;
}

function Items({ flowchartRun, run, control, onAskCancel }: Props) {
  const retry = whyNotRetryFrom(flowchartRun, run);
  const cancel = whyNotCancelNode(flowchartRun, run);
  const newest = flowchartRun.newest_version ?? flowchartRun.version;
  const from = (version?: number) =>
    run && control.retry.mutate({ from_node_run_id: run.id, ...(version !== undefined && { version }) });
  return (
    <>
      <Menu.Item
        className={classes.item}
        leftSection={<IconRepeat size={15} />}
        disabled={retry !== null}
        onClick={() => from()}
      >
        Retry from here
        <small className={classes.why}>{retry ?? "A new run that reuses what was done before"}</small>
      </Menu.Item>
      {newest > flowchartRun.version && (
        <Menu.Item
          className={classes.item}
          leftSection={<IconRepeat size={15} />}
          disabled={retry !== null}
          onClick={() => from(newest)}
        >
          Retry from here on version {newest}
          <small className={classes.why}>
            {retry ?? "The flowchart as it is now, if what is reused is unchanged"}
          </small>
        </Menu.Item>
      )}
      <Menu.Item
        className={classes.item}
        leftSection={<IconPlayerStop size={15} />}
        disabled={cancel !== null}
        onClick={onAskCancel}
      >
        Cancel this node
        <small className={classes.why}>{cancel ?? "The run goes on without it"}</small>
      </Menu.Item>
    </>
  );
}

function AskCancel({ run, control, onClose }: { run: NodeRun; control: RunControl; onClose: () => void }) {
  return (
    <Suspense>
      <Confirm
        title={`Cancel "${run.title || run.flowchart_node_id}"?`}
        action="Cancel the node"
        keep="Keep it"
        run={() => control.cancelNode(run.id)}
        onClose={onClose}
      >
        The run goes on without it: what only this node leads to is skipped, other branches are not touched.
      </Confirm>
    </Suspense>
  );
}

type ButtonProps = Omit<Props, "run" | "onAskCancel"> & { run: NodeRun };

/** The menu of a node run behind a button. */
export function NodeMenuButton({ flowchartRun, run, control }: ButtonProps) {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Menu position="bottom-end" width={300}>
        <Menu.Target>
          <ActionIcon variant="default" aria-label={`Actions of ${run.title || run.flowchart_node_id}`}>
            <IconDotsVertical size={16} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Items
            flowchartRun={flowchartRun}
            run={run}
            control={control}
            onAskCancel={() => setAsking(true)}
          />
        </Menu.Dropdown>
      </Menu>
      {asking && <AskCancel run={run} control={control} onClose={() => setAsking(false)} />}
    </>
  );
}

export interface MenuPlace {
  /** The node run; absent for a node that did not run. */
  id: number | undefined;
  title: string;
  x: number;
  y: number;
}

interface PlaceProps extends Omit<Props, "onAskCancel"> {
  place: MenuPlace;
  onClose: () => void;
}

/** The same menu at a place of the screen: of the canvas and the waterfall. */
export function NodeMenuAt({ place, flowchartRun, run, control, onClose }: PlaceProps) {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Menu
        key={`${place.x} ${place.y}`}
        opened={!asking}
        onChange={(opened) => !opened && !asking && onClose()}
        closeOnItemClick={false}
        position="bottom-start"
        width={300}
        withinPortal
      >
        <Menu.Target>
          <span className={classes.anchor} style={{ left: place.x, top: place.y }} />
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>{place.title}</Menu.Label>
          <Items
            flowchartRun={flowchartRun}
            run={run}
            control={{
              ...control,
              retry: {
                ...control.retry,
                mutate: (...choice) => {
                  onClose();
                  control.retry.mutate(...choice);
                },
              },
            }}
            onAskCancel={() => setAsking(true)}
          />
        </Menu.Dropdown>
      </Menu>
      {asking && run && (
        <AskCancel
          run={run}
          control={control}
          onClose={() => {
            setAsking(false);
            onClose();
          }}
        />
      )}
    </>
  );
}
