import { Button, Group, Stack } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Autocomplete, TextInput } from "../../../ui/inputs";
import { useNow } from "../../../ui/time";
import { previewQuery } from "../api";
import { faultOf, presets, until } from "../model";
import classes from "../schedules.module.css";

function Preview({ cron, timeZone }: { cron: string; timeZone: string }) {
  const preview = useQuery({ ...previewQuery(cron, timeZone), placeholderData: keepPreviousData });
  const now = useNow();
  if (preview.isError)
    return <div className={`${classes.preview} ${classes.none}`}>The next times appear here.</div>;
  if (!preview.data) return <div className={classes.preview} aria-busy="true" />;
  return (
    <div className={classes.preview} aria-live="polite">
      <span className={classes.words}>{preview.data.description}</span>
      <ol aria-label="The next times">
        {preview.data.times.map((t) => (
          <li key={t.at}>
            <span>{t.local}</span>
            <span>{until(Date.parse(t.at), now)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

const zones = (): string[] => {
  const known = Intl.supportedValuesOf("timeZone");
  return known.includes("UTC") ? known : ["UTC", ...known];
};

interface Props {
  cron: string;
  timeZone: string;
  error: unknown;
  onChange: (change: { cron?: string; timeZone?: string }) => void;
}

/** A cron expression with what it means, checked while it is typed. */
export function CronField({ cron, timeZone, error, onChange }: Props) {
  const [typed] = useDebouncedValue(`${cron}\n${timeZone}`, 250);
  const [typedCron = "", typedZone = ""] = typed.split("\n");
  const checked = useQuery(previewQuery(typedCron, typedZone));
  const all = useMemo(zones, []);
  const cronFault = faultOf(checked.error, "cron") ?? faultOf(error, "cron");
  const zoneFault = faultOf(checked.error, "time_zone") ?? faultOf(error, "time_zone");
  return (
    <Stack gap="xs">
      <Group gap={6}>
        {presets.map((p) => (
          <Button
            key={p.cron}
            size="compact-xs"
            variant={cron === p.cron ? "light" : "default"}
            aria-pressed={cron === p.cron}
            onClick={() => onChange({ cron: p.cron })}
          >
            {p.label}
          </Button>
        ))}
      </Group>
      <Group gap="sm" align="flex-start" grow>
        <TextInput
          label="When"
          description="Minute, hour, day of month, month, day of week"
          required
          withAsterisk={false}
          maxLength={200}
          spellCheck={false}
          styles={{ input: { fontFamily: "var(--st-mono)" } }}
          value={cron}
          error={cronFault}
          onChange={(e) => onChange({ cron: e.currentTarget.value })}
        />
        <Autocomplete
          label="Time zone"
          description="Its summer time is followed"
          data={all}
          limit={30}
          value={timeZone}
          error={zoneFault}
          onChange={(value) => onChange({ timeZone: value })}
        />
      </Group>
      <Preview cron={typedCron} timeZone={typedZone} />
    </Stack>
  );
}
