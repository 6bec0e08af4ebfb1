import { IconAlertTriangle, IconInfoCircle } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { healthQuery } from "../api";
import { troubleOf } from "../health";
import classes from "../sources.module.css";

/** What keeps retrieval from being whole, with the way to where that is set. */
export function HealthBanner() {
  const health = useQuery(healthQuery);
  const trouble = health.data && troubleOf(health.data);
  if (!trouble) return null;
  const Icon = trouble.bad ? IconAlertTriangle : IconInfoCircle;
  return (
    <div
      className={classes.banner}
      data-bad={trouble.bad || undefined}
      role={trouble.bad ? "alert" : "status"}
    >
      <Icon size={17} aria-hidden />
      <div>
        <b>{trouble.title}</b> {trouble.text}{" "}
        {trouble.settings && <Link to="/settings/retrieval">Settings, Retrieval</Link>}
      </div>
    </div>
  );
}
