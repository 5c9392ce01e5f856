// A relay with `ws`: what a publisher sends goes to every subscriber as it is, and is acknowledged. Prints its port.
"use strict";
const { WebSocketServer } = require("ws");

const subscribers = new Set();
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });

server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, request) => {
  if (request.url === "/publish") {
    socket.on("message", (data) => {
      for (const subscriber of subscribers) subscriber.send(data, { binary: false });
      socket.send("++");
    });
  } else {
    subscribers.add(socket);
    socket.on("close", () => subscribers.delete(socket));
  }
  socket.send("ready");
});
