import { ActionIcon, Tooltip } from "@mantine/core";
import { IconArrowUp, IconPaperclip, IconPlayerStop } from "@tabler/icons-react";
import {
  type ClipboardEvent,
  type DragEvent,
  type KeyboardEvent,
  type ReactNode,
  type Ref,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import { count } from "../../../ui/format";
import classes from "./composer.module.css";

export const maxMessage = 200_000;
const warnFrom = 0.8;

interface Props {
  value: string;
  onChange: (text: string) => void;
  onSend: () => void;
  /** What there is besides the text. */
  attached?: ReactNode;
  hasAttachments?: boolean;
  /** Why nothing can be sent at the moment. */
  why: string | null;
  /** An answer is being written: it can be stopped. */
  onStop?: (() => void) | undefined;
  stopping?: boolean;
  onFiles?: ((files: File[]) => void) | undefined;
  accept?: string;
  placeholder?: string;
  hint?: ReactNode;
  field?: Ref<HTMLTextAreaElement>;
}

const filesOf = (data: DataTransfer | null): File[] => (data ? [...data.files] : []);

/** Enter sends; with Shift it is a new line. While an input method composes, it is neither. */
export const sends = (e: Pick<KeyboardEvent, "key" | "shiftKey" | "nativeEvent">): boolean =>
  e.key === "Enter" && !e.shiftKey && !e.nativeEvent.isComposing;

/** What is left of a message's length, once that is near. */
function Left({ length }: { length: number }) {
  if (length < maxMessage * warnFrom) return null;
  const left = maxMessage - length;
  return (
    <span role="status" data-over={left < 0 || undefined} className={classes.left}>
      {left >= 0 ? `${count(left)} characters left` : `${count(-left)} characters too long`}
    </span>
  );
}

function useGrowing(value: string) {
  const at = useRef<HTMLTextAreaElement | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text is what makes it grow
  useLayoutEffect(() => {
    if (!at.current) return;
    at.current.style.height = "auto";
    at.current.style.height = `${at.current.scrollHeight}px`;
  }, [value]);
  return at;
}

export function Composer(props: Props) {
  const { value, onChange, onSend, attached, hasAttachments, why, onStop, onFiles, field } = props;
  const [over, setOver] = useState(false);
  const area = useGrowing(value);
  const picker = useRef<HTMLInputElement>(null);
  const empty = value.trim() === "" && !hasAttachments;
  const ready = why === null && !empty && value.length <= maxMessage;
  const take = (files: File[], e: ClipboardEvent | DragEvent) => {
    if (!onFiles || files.length === 0) return;
    e.preventDefault();
    onFiles(files);
  };
  const onKeyDown = (e: KeyboardEvent<HTMLTextAreaElement>) => {
    if (!sends(e)) return;
    e.preventDefault();
    if (ready) onSend();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: files can be chosen by a button as well
    <div
      className={classes.composer}
      data-over={over || undefined}
      onDragOver={(e) => {
        if (!onFiles || !e.dataTransfer.types.includes("Files")) return;
        e.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(e) => {
        setOver(false);
        take(filesOf(e.dataTransfer), e);
      }}
    >
      {attached}
      <textarea
        ref={(node) => {
          area.current = node;
          if (typeof field === "function") field(node);
          else if (field) field.current = node;
        }}
        aria-label="Message"
        rows={1}
        value={value}
        placeholder={props.placeholder ?? "Write a message"}
        onChange={(e) => onChange(e.currentTarget.value)}
        onKeyDown={onKeyDown}
        onPaste={(e) => take(filesOf(e.clipboardData), e)}
      />
      <div className={classes.bar}>
        {onFiles && (
          <>
            <input
              ref={picker}
              type="file"
              multiple
              hidden
              accept={props.accept}
              onChange={(e) => {
                onFiles([...(e.currentTarget.files ?? [])]);
                e.currentTarget.value = "";
              }}
            />
            <Tooltip label="Attach files: drop, paste or choose them">
              <ActionIcon size={30} aria-label="Attach files" onClick={() => picker.current?.click()}>
                <IconPaperclip size={17} />
              </ActionIcon>
            </Tooltip>
          </>
        )}
        <div className={classes.hint}>
          {why ?? props.hint}
          <Left length={value.length} />
        </div>
        {onStop && (
          <Tooltip label="Stop (Esc)">
            <ActionIcon
              size={32}
              variant="default"
              aria-label="Stop the answer"
              loading={props.stopping ?? false}
              onClick={onStop}
            >
              <IconPlayerStop size={17} />
            </ActionIcon>
          </Tooltip>
        )}
        <Tooltip label={why ?? (onStop ? "Send: it is answered next (Enter)" : "Send (Enter)")}>
          <ActionIcon
            size={32}
            variant="filled"
            color="accent"
            aria-label="Send"
            {...(!ready && { "data-disabled": true, "aria-disabled": true })}
            onClick={() => ready && onSend()}
          >
            <IconArrowUp size={18} />
          </ActionIcon>
        </Tooltip>
      </div>
      {over && <div className={classes.drop}>Drop files to attach them</div>}
    </div>
  );
}
