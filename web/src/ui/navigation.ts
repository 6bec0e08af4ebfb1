import {
  IconActivity,
  IconBroadcast,
  IconCpu,
  IconDownload,
  IconLayoutDashboard,
  IconSchema,
  IconSettings,
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
  { to: "/models", label: "Models", icon: IconCpu },
  { to: "/downloads", label: "Downloads", icon: IconDownload },
  { to: "/realtime", label: "Realtime", icon: IconBroadcast },
  { to: "/settings", label: "Settings", icon: IconSettings },
];
