import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { Calendar } from "../../../api/aliases";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { SegmentedControl } from "../../../ui/inputs";
import { Section } from "../../../ui/page";
import { useNow } from "../../../ui/time";
import { calendarQuery, type Span } from "../api";
import { type Mark, marksOf, ticksOf } from "../model";
import classes from "../schedules.module.css";

const when = (at: number): string =>
  new Date(at).toLocaleString(undefined, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });

interface LaneProps {
  calendar: Calendar;
  strip: Calendar["schedules"][number];
  marks: Mark[];
  now: number;
}

function Lane({ calendar, strip, marks, now }: LaneProps) {
  const ticks = ticksOf(calendar, strip);
  const total = ticks.reduce((sum, t) => sum + t.count, 0);
  const first = ticks[0];
  const label = first ? `${total} firings, the first around ${when(first.at)}` : "No firing in this time";
  return (
    <div className={classes.stripRow}>
      <Link
        className={classes.stripName}
        to="/schedules/$scheduleId"
        params={{ scheduleId: String(strip.schedule_id) }}
      >
        {strip.name}
      </Link>
      <div className={classes.lane} role="img" aria-label={`${strip.name}: ${label}`}>
        {marks.map((m) => (
          <span key={m.left} className={classes.mark} style={{ left: `${m.left}%` }} />
        ))}
        {ticks.map((t) => (
          <span
            key={t.left}
            className={classes.tick}
            style={{ left: `${t.left}%`, width: `calc(${t.width}% - 1px)`, opacity: t.strength }}
            title={`${when(t.at)}: ${t.count === 1 ? "1 firing" : `${t.count} firings`}`}
          />
        ))}
        <span className={classes.now} style={{ left: `${now}%` }} />
      </div>
    </div>
  );
}

function Strip({ calendar }: { calendar: Calendar }) {
  const clock = useNow();
  const marks = marksOf(calendar);
  const total = calendar.bucket_count * calendar.bucket_seconds * 10; // a hundredth, in ms
  const now = Math.min(100, Math.max(0, (clock - Date.parse(calendar.from)) / total));
  return (
    <div className={classes.strip}>
      {calendar.schedules.map((s) => (
        <Lane key={s.schedule_id} calendar={calendar} strip={s} marks={marks} now={now} />
      ))}
      <div className={classes.stripRow}>
        <span />
        <div className={classes.axis} aria-hidden>
          {marks.map((m) => (
            <span key={m.left} style={{ left: `${m.left}%` }}>
              {m.label}
            </span>
          ))}
        </div>
      </div>
      {calendar.truncated && <div className={classes.more}>Only the next 50 schedules are shown.</div>}
    </div>
  );
}

/** When everything that is scheduled comes, to be looked at. */
export function CalendarStrip({ span }: { span: Span }) {
  const navigate = useNavigate();
  const calendar = useQuery(calendarQuery(span));
  return (
    <Section
      title="Coming up"
      actions={
        <SegmentedControl
          size="xs"
          aria-label="How far ahead"
          value={span}
          onChange={(value) =>
            void navigate({
              to: "/schedules",
              search: (known) => ({ ...known, span: value === "week" ? "week" : undefined }),
              replace: true,
              resetScroll: false,
            })
          }
          data={[
            { value: "day", label: "24 h" },
            { value: "week", label: "7 d" },
          ]}
        />
      }
    >
      {calendar.isError && <ErrorNotice error={calendar.error} onRetry={() => void calendar.refetch()} />}
      {calendar.isPending && <Lines n={2} height={26} />}
      {calendar.data?.schedules.length === 0 && (
        <div className={classes.strip}>
          <span className={classes.schedulers}>No schedule is switched on.</span>
        </div>
      )}
      {calendar.data && calendar.data.schedules.length > 0 && <Strip calendar={calendar.data} />}
    </Section>
  );
}
