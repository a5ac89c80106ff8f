/* holdfast-proxy: options, set-up in order, signals. */
int main(void)
{
    return 0;
}
