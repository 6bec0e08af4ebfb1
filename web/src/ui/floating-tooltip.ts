// Loaded when the first tooltip is shown; see tooltip.tsx.

export { Tooltip as FloatingTooltip } from "@mantine/core";
