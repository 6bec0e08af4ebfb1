import { useQuery } from "@tanstack/react-query";
import { ErrorNotice, Lines } from "../../ui/feedback";
import { LinkButton } from "../../ui/link-button";
import { Section } from "../../ui/page";
import { executorQuery, type LoadedExecutor } from "./api";
import { providers } from "./node-executor";
import classes from "./settings.module.css";

function cluster(v: LoadedExecutor): string {
  if (v.provider !== "kubernetes") return "Nodes run on the workers' machines.";
  const by = v.k8s_in_cluster ? "the pod's own service account" : "a kubeconfig";
  return `In the namespace ${v.k8s_namespace}, by ${by}.`;
}

/** In short where nodes run, with the way to all of it. */
export function NodeExecutorSection() {
  const loaded = useQuery(executorQuery);
  return (
    <Section title="Node executor">
      {loaded.isError && <ErrorNotice error={loaded.error} onRetry={() => void loaded.refetch()} />}
      {loaded.isPending && <Lines n={1} height={48} />}
      {loaded.data && (
        <div className={classes.form}>
          <div className={classes.line}>
            <div>
              {providers.find((p) => p.value === loaded.data.provider)?.label ?? loaded.data.provider}
              <small>{cluster(loaded.data)}</small>
            </div>
            <LinkButton to="/settings/node-executor" variant="default">
              Open
            </LinkButton>
          </div>
        </div>
      )}
    </Section>
  );
}
