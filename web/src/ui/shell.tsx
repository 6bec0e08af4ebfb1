import { ActionIcon, UnstyledButton } from "@mantine/core";
import { useDisclosure, useHotkeys, useLocalStorage, useMediaQuery } from "@mantine/hooks";
import { IconChevronsLeft, IconChevronsRight, IconMenu2, IconSearch } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useState } from "react";
import { config } from "../config";
import { ConnectionDot } from "./connection";
import { Logo } from "./logo";
import { type Entry, navigation } from "./navigation";
import classes from "./shell.module.css";
import { Tooltip } from "./tooltip";

// Not needed before they are opened.
const CommandPalette = lazy(async () => ({ default: (await import("./command-palette")).CommandPalette }));
const ApprovalsBadge = lazy(async () => ({
  default: (await import("../features/mcp/components/approvals-badge")).ApprovalsBadge,
}));
const Drawer = lazy(async () => ({ default: (await import("./dialogs")).Drawer }));

function NavItem({
  entry,
  small,
  onFollow,
}: {
  entry: Entry;
  small: boolean;
  onFollow?: (() => void) | undefined;
}) {
  const Icon = entry.icon;
  return (
    <Tooltip label={entry.label} position="right" disabled={!small}>
      <Link
        to={entry.to}
        className={classes.item}
        activeOptions={{ exact: entry.to === "/" }}
        activeProps={{ "data-active": true, "aria-current": "page" }}
        aria-label={small ? entry.label : undefined}
        onClick={() => onFollow?.()}
      >
        <Icon size={18} stroke={1.7} aria-hidden />
        {!small && <span>{entry.label}</span>}
        {entry.badge && (
          <Suspense>
            <ApprovalsBadge small={small} />
          </Suspense>
        )}
      </Link>
    </Tooltip>
  );
}

function Navigation({ small, onFollow }: { small: boolean; onFollow?: () => void }) {
  return (
    <nav aria-label="Main" className={classes.nav}>
      {navigation.map((entry) => (
        <NavItem key={entry.to} entry={entry} small={small} onFollow={onFollow} />
      ))}
    </nav>
  );
}

function Brand({ small }: { small: boolean }) {
  return (
    <Link to="/" className={classes.brand} aria-label="llmctl Studio, overview">
      <Logo />
      {!small && (
        <span>
          llmctl <b>Studio</b>
        </span>
      )}
    </Link>
  );
}

export function Shell({ children }: { children: ReactNode }) {
  const [collapsed, setCollapsed] = useLocalStorage({
    key: "studio.nav.collapsed",
    defaultValue: false,
    getInitialValueInEffect: false,
  });
  const [opened, drawer] = useDisclosure(false);
  const drawered = useMediaQuery("(max-width: 1023px)", false, { getInitialValueInEffect: false });
  const [searches, setSearches] = useState(0);
  const search = () => setSearches((n) => n + 1);
  useHotkeys([["mod+K", search]], [], true);
  return (
    <div className={classes.shell}>
      {searches > 0 && (
        <Suspense>
          <CommandPalette asked={searches} />
        </Suspense>
      )}
      {!drawered && (
        <aside className={classes.side} data-collapsed={collapsed || undefined}>
          <Brand small={collapsed} />
          <Navigation small={collapsed} />
          <div className={classes.foot}>
            {!collapsed && <span className={classes.version}>{config.version}</span>}
            <Tooltip label={collapsed ? "Expand navigation" : "Collapse navigation"} position="right">
              <ActionIcon
                aria-label={collapsed ? "Expand navigation" : "Collapse navigation"}
                onClick={() => setCollapsed(!collapsed)}
              >
                {collapsed ? <IconChevronsRight size={16} /> : <IconChevronsLeft size={16} />}
              </ActionIcon>
            </Tooltip>
          </div>
        </aside>
      )}
      {drawered && (
        <>
          <ActionIcon className={classes.burger} size="lg" aria-label="Open navigation" onClick={drawer.open}>
            <IconMenu2 size={20} />
          </ActionIcon>
          <Suspense>
            <Drawer opened={opened} onClose={drawer.close} size={260} title={<Brand small={false} />}>
              <Navigation small={false} onFollow={drawer.close} />
            </Drawer>
          </Suspense>
        </>
      )}
      <div className={classes.body}>
        <div className={classes.tools}>
          <ConnectionDot />
          <Tooltip label="Search and commands (Ctrl K)">
            <UnstyledButton className={classes.search} onClick={search} aria-label="Search and commands">
              <IconSearch size={15} aria-hidden />
            </UnstyledButton>
          </Tooltip>
        </div>
        <div className={classes.scroll} id="page-scroll">
          {children}
        </div>
      </div>
    </div>
  );
}
