// Read with the address, so with the first paint: it imports nothing.

export const panelTabs = ["output", "input", "logs", "events", "attempts"] as const;
export type PanelTab = (typeof panelTabs)[number];
