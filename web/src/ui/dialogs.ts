// The library's dialogs with their styles, which the first paint does not need.
import "./mantine-dialogs.css";

export { Drawer, Modal } from "@mantine/core";
