import { Switch, TextInput } from "../../../ui/inputs";
import type { Fault, SourceForm } from "../form";
import classes from "../sources.module.css";
import { FolderPicker } from "./folder-picker";
import { SecretField } from "./secret-field";

export interface PartProps {
  form: SourceForm;
  fault: Fault;
  change: (part: Partial<SourceForm>) => void;
  /** What is stored of the secret, of a source that is there. */
  stored: { kind: string; fingerprint: string; set_at: string } | null;
}

const text =
  (change: PartProps["change"], name: keyof SourceForm) => (e: { currentTarget: { value: string } }) =>
    change({ [name]: e.currentTarget.value });

function LocalPlace({ form, fault, change }: PartProps) {
  return (
    <div>
      <TextInput
        label="Folder"
        description="Browse below, or write its path; it must lie in an allowed one"
        placeholder="/srv/docs"
        maxLength={4096}
        spellCheck={false}
        value={form.path}
        error={fault("path")}
        onChange={text(change, "path")}
      />
      <FolderPicker chosen={form.path} onChoose={(path) => change({ path })} />
    </div>
  );
}

function GitPlace(props: PartProps) {
  const { form, fault, change } = props;
  return (
    <>
      <TextInput
        label="Address"
        description="As git clone takes it"
        placeholder="https://github.com/owner/name.git"
        maxLength={2000}
        spellCheck={false}
        value={form.url}
        error={fault("url")}
        onChange={text(change, "url")}
      />
      <div className={classes.pair}>
        <TextInput
          label="Branch"
          placeholder="The repository's own"
          maxLength={250}
          spellCheck={false}
          value={form.branch}
          error={fault("branch")}
          onChange={text(change, "branch")}
        />
        <TextInput
          label="Subfolder"
          placeholder="All of it"
          maxLength={1000}
          spellCheck={false}
          value={form.subfolder}
          error={fault("subfolder")}
          onChange={text(change, "subfolder")}
        />
      </div>
      <Switch
        label="With submodules"
        checked={form.submodules}
        onChange={(e) => change({ submodules: e.currentTarget.checked })}
      />
      <SecretField {...props} />
    </>
  );
}

function DrivePlace(props: PartProps) {
  const { form, fault, change } = props;
  return (
    <>
      <TextInput
        label="Folder"
        description="Its address in the browser, or its id. Share it with the service account."
        placeholder="https://drive.google.com/drive/folders/…"
        maxLength={1000}
        spellCheck={false}
        value={form.folderId}
        error={fault("folder_id")}
        onChange={text(change, "folderId")}
      />
      <SecretField {...props} />
      <details className={classes.fold} open={form.endpoint !== "" || fault("endpoint") !== undefined}>
        <summary>Another address of the API</summary>
        <TextInput
          label="Endpoint"
          placeholder="https://www.googleapis.com"
          maxLength={2000}
          spellCheck={false}
          value={form.endpoint}
          error={fault("endpoint")}
          onChange={text(change, "endpoint")}
        />
      </details>
    </>
  );
}

/** Where a source's files are, by its kind. */
export function PlaceFields(props: PartProps) {
  switch (props.form.kind) {
    case "local":
      return <LocalPlace {...props} />;
    case "git":
      return <GitPlace {...props} />;
    case "google_drive":
      return <DrivePlace {...props} />;
  }
}
