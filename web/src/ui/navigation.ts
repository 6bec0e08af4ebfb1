import {
  IconActivity,
  IconBooks,
  IconBroadcast,
  IconCalendarClock,
  IconCpu,
  IconDownload,
  IconLayoutDashboard,
  IconMessages,
  IconPlug,
  IconSchema,
  IconSettings,
  IconStack2,
  IconUserCheck,
  type TablerIcon,
} from "@tabler/icons-react";

export interface Entry {
  to: string;
  label: string;
  icon: TablerIcon;
  /** How many things wait there for somebody; loaded after the first paint. */
  badge?: "approvals";
}

export const navigation: Entry[] = [
  { to: "/", label: "Overview", icon: IconLayoutDashboard },
  { to: "/flowcharts", label: "Flowcharts", icon: IconSchema },
  { to: "/runs", label: "Runs", icon: IconActivity },
  { to: "/threads", label: "Threads", icon: IconMessages },
  { to: "/approvals", label: "Approvals", icon: IconUserCheck, badge: "approvals" },
  { to: "/schedules", label: "Schedules", icon: IconCalendarClock },
  { to: "/sources", label: "Sources", icon: IconBooks },
  { to: "/models", label: "Models", icon: IconCpu },
  { to: "/downloads", label: "Downloads", icon: IconDownload },
  { to: "/mcp-servers", label: "MCP", icon: IconPlug },
  { to: "/queues", label: "Queues", icon: IconStack2 },
  { to: "/realtime", label: "Realtime", icon: IconBroadcast },
  { to: "/settings", label: "Settings", icon: IconSettings },
];
