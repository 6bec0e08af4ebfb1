import { createFileRoute } from "@tanstack/react-router";
import { ModelsSection } from "../../features/models/components/models-section";
import { ProvidersSection } from "../../features/models/components/providers-section";
import { PageFrame } from "../../ui/page";

export const Route = createFileRoute("/_app/models")({ component: Models });

function Models() {
  return (
    <PageFrame title="Models">
      <ProvidersSection />
      <ModelsSection />
    </PageFrame>
  );
}
