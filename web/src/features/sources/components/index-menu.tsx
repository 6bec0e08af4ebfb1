import "@mantine/core/styles/Popover.css";
import "@mantine/core/styles/Menu.css";
import { ActionIcon, Button, Menu, Tooltip } from "@mantine/core";
import { IconChevronDown, IconListSearch, IconRefresh, IconRefreshDot } from "@tabler/icons-react";
import type { Source } from "../../../api/aliases";
import classes from "../sources.module.css";
import type { SourceActions } from "../use-source-actions";

/** Starts an index run: the usual one at once, the others by their names. */
export function IndexMenu({ source, actions }: { source: Source; actions: SourceActions }) {
  const start = (choice: { mode: "fresh" | "delta"; plan_first?: boolean }) =>
    actions.index.mutate({ source: source.id, ...choice });
  const first = source.index === null;
  const busy = source.active_run !== null;
  return (
    <div className={classes.split}>
      <Tooltip label={busy ? "It is being indexed." : first ? "All files" : "What has changed"}>
        <Button
          leftSection={<IconRefresh size={15} />}
          loading={actions.index.isPending}
          {...(busy && { "data-disabled": true, "aria-disabled": true })}
          onClick={() => !busy && start({ mode: first ? "fresh" : "delta" })}
        >
          Index now
        </Button>
      </Tooltip>
      <Menu position="bottom-end" width={320}>
        <Menu.Target>
          <ActionIcon
            variant="filled"
            color="accent"
            size={30}
            aria-label="Other ways to index"
            disabled={busy || actions.index.isPending}
          >
            <IconChevronDown size={15} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconRefresh size={16} />} onClick={() => start({ mode: "delta" })}>
            Delta
            <small className={classes.menuNote}>What was added, changed or removed since</small>
          </Menu.Item>
          <Menu.Item leftSection={<IconRefreshDot size={16} />} onClick={() => start({ mode: "fresh" })}>
            Fresh
            <small className={classes.menuNote}>
              Every file, beside the index that is there; searches see it until the end
            </small>
          </Menu.Item>
          <Menu.Item
            leftSection={<IconListSearch size={16} />}
            onClick={() => start({ mode: "delta", plan_first: true })}
          >
            Plan first
            <small className={classes.menuNote}>A delta that waits after its plan until you apply it</small>
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </div>
  );
}
