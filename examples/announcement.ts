/** Where clients find the runtime on a server. */
export const BASE_PATH = "/api/copilotkit";

/** What a server on this port says when it listens. `place`: where the threads are, in words. */
export function announcement(port: number, place: string, hasPage = true): string {
  const origin = `http://127.0.0.1:${port}`;
  const lines = curlLines(`${origin}${BASE_PATH}`).map(
    ({ title, command }) => `\n# ${title}\n${command}`,
  );
  return [
    ...(hasPage ? [`Chat in your browser at ${origin}`] : []),
    `CopilotKit runtime at ${origin}${BASE_PATH}`,
    `Threads in ${place}`,
    ...lines,
  ].join("\n");
}

/** Commands to paste into a shell, each with a title, for the thread "hello". */
function curlLines(baseUrl: string): { title: string; command: string }[] {
  const agentUrl = `${baseUrl}/agent/default`;
  // Ids must be new for every run, however often the line is pasted: the shell puts the time there.
  const now = "'$(date +%s)'";
  const question = "What happens to my thread when the server is killed?";
  const run = input(`run-${now}`, [{ id: `question-${now}`, role: "user", content: question }]);
  return [
    { title: "Run the agent", command: post(`${agentUrl}/run`, run) },
    {
      title: "Connect, from another terminal, meanwhile or afterwards",
      command: post(`${agentUrl}/connect`, input("connect", [])),
    },
    { title: "Stop the run while it is under way", command: `curl -X POST ${agentUrl}/stop/hello` },
  ];
}

function input(runId: string, messages: object[]) {
  return JSON.stringify({ threadId: "hello", runId, messages, tools: [], context: [] });
}

function post(url: string, body: string) {
  return `curl -N ${url} -H 'content-type: application/json' -d '${body}'`;
}
