import { IconBrandGit, IconBrandGoogleDrive, IconFolder, type TablerIcon } from "@tabler/icons-react";
import type { IndexRun, Source, SourceKind } from "../../../api/aliases";
import { lookOf, StatusIcon } from "../../../ui/status";
import { kindLabels, type Look, lookOfRun, lookOfSource } from "../model";
import classes from "../sources.module.css";

export const kindIcons: Record<SourceKind, TablerIcon> = {
  local: IconFolder,
  git: IconBrandGit,
  google_drive: IconBrandGoogleDrive,
};

export function KindIcon({ kind, size = 18 }: { kind: SourceKind; size?: number }) {
  const Icon = kindIcons[kind];
  return <Icon size={size} stroke={1.6} role="img" aria-label={kindLabels[kind]} />;
}

export function Mark({ look }: { look: Look }) {
  return (
    <span className={classes.state} style={{ color: lookOf(look.status).color }}>
      <span aria-hidden className={classes.stateIcon}>
        <StatusIcon status={look.status} size={15} />
      </span>
      {look.label}
    </span>
  );
}

export const SourceState = ({ source }: { source: Source }) => <Mark look={lookOfSource(source)} />;
export const RunState = ({ run }: { run: IndexRun }) => <Mark look={lookOfRun(run)} />;
