/** Commands to paste into a shell, each with a title, for the thread "hello". */
export function curlLines(baseUrl: string): { title: string; command: string }[] {
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
