/** Orders for a child process, as an environment variable, which all threads of the child can read. */
export function ordersAsEnvironment(variable: string, orders: object): Record<string, string> {
  return { [variable]: JSON.stringify(orders) };
}

/** Reads the orders of this process. */
export function ordersFromEnvironment<Orders>(variable: string): Orders {
  const json = process.env[variable];
  if (json === undefined) throw new Error(`${variable} is not set`);
  return JSON.parse(json) as Orders;
}
