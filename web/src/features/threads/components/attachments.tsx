import { ActionIcon, Loader, Tooltip } from "@mantine/core";
import { IconAlertCircle, IconFileText, IconFileTypePdf, IconPhoto, IconX } from "@tabler/icons-react";
import type { AttachmentPart } from "../../../api/aliases";
import { bytes } from "../../../ui/format";
import type { Upload } from "../uploads";
import classes from "./attachments.module.css";

const icons = { text: IconFileText, pdf: IconFileTypePdf, image: IconPhoto };

const factsOf = (a: Pick<AttachmentPart, "size" | "pages">): string =>
  [bytes(a.size), a.pages ? `${a.pages} ${a.pages === 1 ? "page" : "pages"}` : ""]
    .filter(Boolean)
    .join(" · ");

/** The files that were sent along with a message. */
export function SentAttachments({
  items,
  addressOf,
}: {
  items: AttachmentPart[];
  addressOf: (id: number) => string;
}) {
  if (items.length === 0) return null;
  return (
    <ul className={classes.list} aria-label="Attachments">
      {items.map((a) => {
        const Icon = icons[a.kind];
        return (
          <li key={a.id}>
            <a
              className={classes.chip}
              href={addressOf(a.id)}
              target="_blank"
              rel="noreferrer"
              title={a.name}
            >
              {a.kind === "image" ? (
                <img className={classes.thumb} src={addressOf(a.id)} alt="" loading="lazy" />
              ) : (
                <Icon size={18} stroke={1.6} aria-hidden />
              )}
              <span>
                {a.name}
                <small>{factsOf(a)}</small>
              </span>
            </a>
          </li>
        );
      })}
    </ul>
  );
}

function State({ upload }: { upload: Upload }) {
  if (upload.state === "sending")
    return (
      <small>
        {upload.fraction === null ? "Sending" : `${Math.round(upload.fraction * 100)} %`} of{" "}
        {bytes(upload.size)}
      </small>
    );
  if (upload.state === "failed") return <small data-bad>{upload.message}</small>;
  return <small>{factsOf(upload.attachment)}</small>;
}

/** The files of a message that is being written. */
export function Uploads({ items, onRemove }: { items: readonly Upload[]; onRemove: (key: string) => void }) {
  if (items.length === 0) return null;
  return (
    <ul className={classes.list} aria-label="Attachments" data-draft>
      {items.map((u) => {
        const Icon = u.state === "done" ? icons[u.attachment.kind] : IconFileText;
        return (
          <li key={u.key} className={classes.chip} data-state={u.state}>
            {u.state === "sending" && <Loader size={16} color="gray" />}
            {u.state === "failed" && (
              <IconAlertCircle size={18} color="var(--st-failed)" aria-label="Failed" />
            )}
            {u.state === "done" && <Icon size={18} stroke={1.6} aria-hidden />}
            <span title={u.name}>
              {u.name}
              <State upload={u} />
            </span>
            <Tooltip label="Take it out">
              <ActionIcon size="sm" aria-label={`Take ${u.name} out`} onClick={() => onRemove(u.key)}>
                <IconX size={14} />
              </ActionIcon>
            </Tooltip>
            {u.state === "sending" && u.fraction !== null && (
              <i className={classes.progress} style={{ width: `${u.fraction * 100}%` }} />
            )}
          </li>
        );
      })}
    </ul>
  );
}
