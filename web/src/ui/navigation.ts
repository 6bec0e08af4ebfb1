import {
  IconActivity,
  IconBroadcast,
  IconCalendarClock,
  IconCpu,
  IconDownload,
  IconLayoutDashboard,
  IconSchema,
  IconSettings,
  IconStack2,
  type TablerIcon,
} from "@tabler/icons-react";

export interface Entry {
  to: string;
  label: string;
  icon: TablerIcon;
}

export const navigation: Entry[] = [
  { to: "/", label: "Overview", icon: IconLayoutDashboard },
  { to: "/flowcharts", label: "Flowcharts", icon: IconSchema },
  { to: "/runs", label: "Runs", icon: IconActivity },
  { to: "/schedules", label: "Schedules", icon: IconCalendarClock },
  { to: "/models", label: "Models", icon: IconCpu },
  { to: "/downloads", label: "Downloads", icon: IconDownload },
  { to: "/queues", label: "Queues", icon: IconStack2 },
  { to: "/realtime", label: "Realtime", icon: IconBroadcast },
  { to: "/settings", label: "Settings", icon: IconSettings },
];
